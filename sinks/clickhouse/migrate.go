package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migrateclickhouse "github.com/golang-migrate/migrate/v4/database/clickhouse"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"loyaltyhouse/schema"
)

// A Migrator creates and drops the warehouse's tables and views.
type Migrator struct {
	cfg      Config
	migrate  *migrate.Migrate
	versions []uint // in ascending order
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
	m, err := migrate.NewWithInstance("iofs", files, "clickhouse", wholeMigrations{driver})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrations: %w", err), db.Close())
	}
	versions, err := listVersions(files)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Migrator{cfg: cfg, migrate: m, versions: versions}, nil
}

func listVersions(files source.Driver) (versions []uint, err error) {
	version, err := files.First()
	for err == nil {
		versions = append(versions, version)
		version, err = files.Next(version)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return versions, nil
}

func createDatabase(ctx context.Context, options *clickhouse.Options, database string) error {
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("clickhouse %s: %w", options.Addr, err)
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	// The right to create a database is asked for also where it is there already.
	var there uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", database).Scan(&there); err != nil {
		return fmt.Errorf("clickhouse %s: database %s: %w", options.Addr, database, err)
	}
	if there > 0 {
		return nil
	}
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS `"+database+"`"); err != nil {
		return fmt.Errorf("clickhouse %s: database %s: %w", options.Addr, database, err)
	}
	return nil
}

// Up brings the schema to the newest version, and sets the configured TTL and the
// interval of the refreshes. It reports the version before and after. A migration that a crash stopped
// half-way is run again from its beginning: every file may be.
func (m *Migrator) Up(ctx context.Context) (before, after uint, err error) {
	before, dirty, err := m.Status()
	if err != nil {
		return 0, 0, err
	}
	if dirty {
		previous := database.NilVersion
		if i := slices.Index(m.versions, before); i > 0 {
			previous = int(m.versions[i-1])
		}
		if err := m.migrate.Force(previous); err != nil {
			return before, before, fmt.Errorf("migrations: %w", err)
		}
	}
	if after, err = m.step(); err != nil {
		return before, before, err
	}
	conn, err := Connect(m.cfg)
	if err != nil {
		return before, after, err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	return before, after, errors.Join(m.setTTL(ctx, conn), m.setRefresh(ctx, conn))
}

// step runs the migrations that are not applied, and returns the version after them.
// They are asked for one by one, for the goroutines that read ahead would stay behind a
// failure for ever.
func (m *Migrator) step() (version uint, err error) {
	for {
		err := m.migrate.Steps(1)
		if errors.Is(err, fs.ErrNotExist) {
			version, _, err = m.Status()
			return version, err
		}
		if err != nil {
			return 0, fmt.Errorf("migrations: %w", err)
		}
	}
}

// Down drops every table and view, with all their data.
func (m *Migrator) Down() error {
	version, dirty, err := m.Status()
	if err == nil && dirty {
		err = m.migrate.Force(int(version))
	}
	if err == nil {
		err = m.migrate.Down()
	}
	if err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// Status returns the schema's version, 0 before the first migration. Dirty
// tells that a migration stopped half-way, or is under way.
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
	return m.versions[len(m.versions)-1]
}

// Close closes the connection.
func (m *Migrator) Close() error {
	return errors.Join(m.migrate.Close())
}

// wholeMigrations reads a migration to its end before it runs, for the goroutine that
// hands it over would stay behind one that fails half-way.
type wholeMigrations struct{ database.Driver }

func (d wholeMigrations) Run(migration io.Reader) error {
	text, err := io.ReadAll(migration)
	if err != nil {
		return err
	}
	return d.Driver.Run(bytes.NewReader(text))
}

func (m *Migrator) setTTL(ctx context.Context, conn driver.Conn) error {
	var present, same bool
	if err := conn.QueryRow(ctx, `SELECT position(engine_full, ' TTL ') > 0, position(engine_full, concat(' TTL toDateTime(received_at) + toIntervalDay(', toString(?), ')')) > 0
FROM system.tables WHERE database = ? AND name = 'raw_webhooks'`, m.cfg.RawWebhooksTTLDays, m.cfg.Database).Scan(&present, &same); err != nil {
		return fmt.Errorf("clickhouse: TTL of raw_webhooks: %w", err)
	}
	if same {
		return nil
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

// setRefresh alters the views whose interval is another than the configured one.
// ClickHouse writes an interval in its own words, as in 5 MINUTE.
func (m *Migrator) setRefresh(ctx context.Context, conn driver.Conn) error {
	seconds := int64(m.cfg.RefreshInterval / time.Second)
	for _, v := range schema.Views(nil) {
		if !v.Cached() {
			continue
		}
		var present float64
		err := conn.QueryRow(ctx, `SELECT parseTimeDelta(lower(extract(create_table_query, 'REFRESH AFTER ((?:[0-9]+ [A-Z]+ ?)+)')))
FROM system.tables WHERE database = ? AND name = ?`, m.cfg.Database, v.Name).Scan(&present)
		if err == nil && present != float64(seconds) {
			err = conn.Exec(ctx, fmt.Sprintf("ALTER TABLE `%s`.`%s` MODIFY REFRESH AFTER %d SECOND", m.cfg.Database, v.Name, seconds))
		}
		if err != nil {
			return fmt.Errorf("clickhouse: refresh interval of %s: %w", v.Name, err)
		}
	}
	return nil
}

// Refresh computes the views named *_cached anew, and returns when they are.
func Refresh(ctx context.Context, conn driver.Conn, database string) error {
	for _, v := range schema.Views(nil) {
		if !v.Cached() {
			continue
		}
		name := "`" + database + "`.`" + v.Name + "`"
		for _, statement := range []string{"SYSTEM REFRESH VIEW " + name, "SYSTEM WAIT VIEW " + name} {
			if err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("clickhouse: refresh %s: %w", v.Name, err)
			}
		}
	}
	return nil
}
