package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
)

func migrateCommand(file *string) *cobra.Command {
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Create, drop or show the warehouse's tables and views",
		Long: `Works on the warehouse of every ClickHouse sink. The migrations are part of
this program. "migrate up" also writes what the contracts say of tables and
columns into ClickHouse, as comments, and prepares the sinks of other kinds: it
makes PostgreSQL's tables, and the directory of local files. With
migrate_on_start, which is the default, the sinks run it by themselves.`,
	}
	var drop bool
	down := &cobra.Command{
		Use:   "down --yes-drop-all-data",
		Short: "Drop every table and view of ClickHouse, with all their data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !drop {
				return errors.New("migrate down drops every table with all its data; say --yes-drop-all-data if you mean it")
			}
			return eachSink(cmd, *file, warehouses(func(_ context.Context, m *sinkMigrator) (string, error) {
				return "every table and view of database " + m.sink.ClickHouse.Database + " is dropped", m.Down()
			}))
		},
	}
	down.Flags().BoolVar(&drop, "yes-drop-all-data", false, "drop the data")
	command.AddCommand(
		&cobra.Command{
			Use:   "up",
			Short: "Bring tables and views to the newest version",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return eachSink(cmd, *file, prepare)
			},
		},
		down,
		&cobra.Command{
			Use:   "status",
			Short: "Show which version the tables have",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return eachSink(cmd, *file, warehouses(func(_ context.Context, m *sinkMigrator) (string, error) {
					version, dirty, err := m.Status()
					if err != nil {
						return "", err
					}
					text := fmt.Sprintf("database %s has version %d of %d", m.sink.ClickHouse.Database, version, m.Newest())
					if dirty {
						text += ", which stopped half-way or is under way; run connector migrate up"
					}
					return text, nil
				}))
			},
		},
	)
	return command
}

// A sinkTask does something with a sink, and says what; nothing where it is not
// for the sink's kind. The tables are all that there are.
type sinkTask func(ctx context.Context, s config.Sink, tables []*schema.Table, log *slog.Logger) (string, error)

// eachSink prints what the task says of each sink.
func eachSink(cmd *cobra.Command, file string, task sinkTask) (err error) {
	ctx := cmd.Context()
	cfg, log, err := load(file)
	if err != nil {
		return err
	}
	contracts, err := cfg.LoadContracts()
	if err != nil {
		return err
	}
	stop, err := borrowEngine(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, s := range cfg.Sinks {
		text, err := task(ctx, s, schema.Tables(contracts), log)
		if err != nil {
			return fmt.Errorf("sink %s: %w", s.Name, err)
		}
		if text == "" {
			continue
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "sink %s: %s\n", s.Name, text); err != nil {
			return err
		}
	}
	return nil
}

// warehouses is a task for the ClickHouse sinks.
func warehouses(f func(context.Context, *sinkMigrator) (string, error)) sinkTask {
	return func(ctx context.Context, s config.Sink, tables []*schema.Table, log *slog.Logger) (text string, err error) {
		if s.ClickHouse == nil {
			return "", nil
		}
		m, err := clickhouse.NewMigrator(ctx, *s.ClickHouse)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		return f(ctx, &sinkMigrator{Migrator: m, sink: s, tables: tables, log: log})
	}
}

// prepare is migrate up for one sink.
func prepare(ctx context.Context, s config.Sink, tables []*schema.Table, log *slog.Logger) (text string, err error) {
	if s.ClickHouse != nil {
		return warehouses(func(ctx context.Context, m *sinkMigrator) (string, error) {
			before, after, err := m.up(ctx)
			if before == after {
				return fmt.Sprintf("version %d, nothing to do", after), err
			}
			return fmt.Sprintf("version %d, was %d", after, before), err
		})(ctx, s, tables, log)
	}
	destination, err := openDestination(s, tables, log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, destination.Close()) }()
	preparer, able := destination.(sinks.Preparer)
	if !able {
		return "", nil
	}
	return "prepared", preparer.Prepare(ctx, s.Tables(tables))
}

// A sinkMigrator migrates the warehouse of one sink.
type sinkMigrator struct {
	*clickhouse.Migrator
	sink   config.Sink
	tables []*schema.Table
	log    *slog.Logger
}

// up brings tables and views to the newest version, and their comments to what
// the contracts say. A warehouse without comments is still one to deliver to.
func (m *sinkMigrator) up(ctx context.Context) (before, after uint, err error) {
	if before, after, err = m.Up(ctx); err != nil {
		return before, after, err
	}
	if err := m.Comment(ctx, m.tables); err != nil {
		m.log.LogAttrs(ctx, slog.LevelWarn, "not every table and column could be given its comment; the data does not depend on it",
			slog.String("sink", m.sink.Name), slog.Any("error", err))
	}
	return before, after, nil
}

// A migrating is a ClickHouse sink that brings its tables and views up to date.
type migrating struct {
	*clickhouse.Sink
	cfg config.Sink
	log *slog.Logger
}

// Prepare implements [sinks.Preparer]: it is migrate up for one sink.
func (m *migrating) Prepare(ctx context.Context, tables []*schema.Table) error {
	_, err := warehouses(func(ctx context.Context, migrator *sinkMigrator) (string, error) {
		before, after, err := migrator.up(ctx)
		if err == nil && before != after {
			m.log.LogAttrs(ctx, slog.LevelInfo, "the warehouse's tables are up to date",
				slog.String("sink", m.cfg.Name), slog.Int("version", int(after)), slog.Int("was", int(before)))
		}
		return "", err
	})(ctx, m.cfg, tables, m.log)
	return err
}
