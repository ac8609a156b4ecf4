package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/golang-migrate/migrate/v4"
	migrateclickhouse "github.com/golang-migrate/migrate/v4/database/clickhouse"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"loyaltyhouse/schema"
)

// A Migrator creates and drops the warehouse's tables and views.
type Migrator struct {
	cfg     Config
	migrate *migrate.Migrate
	newest  uint
}

// NewMigrator connects to the first server that answers and creates the
// database where it is missing.
func NewMigrator(ctx context.Context, cfg Config) (*Migrator, error) {
	options, err := cfg.options("")
	if err != nil {
		return nil, err
	}
	if err := createDatabase(ctx, options, cfg.Database); err != nil {
		return nil, err
	}
	files, err := iofs.New(schema.Migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	options.Auth.Database = cfg.Database
	options.MaxOpenConns, options.MaxIdleConns = 0, 0 // database/sql has its own pool.
	db := clickhouse.OpenDB(options)
	driver, err := migrateclickhouse.WithInstance(db, &migrateclickhouse.Config{
		DatabaseName:          cfg.Database,
		MigrationsTableEngine: "MergeTree",
		MultiStatementEnabled: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrations: %w", err), db.Close())
	}
	m, err := migrate.NewWithInstance("iofs", files, "clickhouse", driver)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrations: %w", err), db.Close())
	}
	newest, err := newestVersion(files)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Migrator{cfg: cfg, migrate: m, newest: newest}, nil
}

func newestVersion(files source.Driver) (uint, error) {
	version, err := files.First()
	for err == nil {
		var next uint
		if next, err = files.Next(version); err == nil {
			version = next
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	return version, nil
}

func createDatabase(ctx context.Context, options *clickhouse.Options, database string) error {
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("clickhouse %s: %w", options.Addr, err)
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS `"+database+"`"); err != nil {
		return fmt.Errorf("clickhouse %s: database %s: %w", options.Addr, database, err)
	}
	return nil
}

// Up brings the schema to the newest version and sets the configured TTL. It
// reports the version before and after.
func (m *Migrator) Up(ctx context.Context) (before, after uint, err error) {
	if before, _, err = m.Status(); err != nil {
		return 0, 0, err
	}
	if err := m.migrate.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return before, before, m.explain(err)
	}
	if after, _, err = m.Status(); err != nil {
		return before, 0, err
	}
	return before, after, m.setTTL(ctx)
}

// Down drops every table and view, with all their data.
func (m *Migrator) Down() error {
	if err := m.migrate.Down(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return m.explain(err)
	}
	return nil
}

// Status returns the schema's version, 0 before the first migration. Dirty
// tells that a migration stopped half-way.
func (m *Migrator) Status() (version uint, dirty bool, err error) {
	version, dirty, err = m.migrate.Version()
	if errors.Is(err, migrate.ErrNilVersion) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("migrations: %w", err)
	}
	return version, dirty, nil
}

// Newest returns the version that Up leads to.
func (m *Migrator) Newest() uint {
	return m.newest
}

// Close closes the connection.
func (m *Migrator) Close() error {
	source, database := m.migrate.Close()
	return errors.Join(source, database)
}

func (m *Migrator) explain(err error) error {
	if dirty, ok := errors.AsType[migrate.ErrDirty](err); ok {
		return fmt.Errorf("migrations: version %d stopped half-way in database %s; see its file under schema/migrations, "+
			"undo by hand what it did, set the version in schema_migrations, and run the migration again", dirty.Version, m.cfg.Database)
	}
	return fmt.Errorf("migrations: %w", err)
}

func (m *Migrator) setTTL(ctx context.Context) error {
	conn, err := Connect(m.cfg)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	var present bool
	if err := conn.QueryRow(ctx, "SELECT position(create_table_query, ' TTL ') > 0 FROM system.tables WHERE database = ? AND name = 'raw_webhooks'", m.cfg.Database).Scan(&present); err != nil {
		return fmt.Errorf("clickhouse: TTL of raw_webhooks: %w", err)
	}
	alter := "ALTER TABLE `" + m.cfg.Database + "`.raw_webhooks "
	statement := fmt.Sprintf("%sMODIFY TTL toDateTime(received_at) + INTERVAL %d DAY", alter, m.cfg.RawWebhooksTTLDays)
	if m.cfg.RawWebhooksTTLDays == 0 {
		if !present {
			return nil
		}
		statement = alter + "REMOVE TTL"
	}
	if err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("clickhouse: TTL of raw_webhooks: %w", err)
	}
	return nil
}
