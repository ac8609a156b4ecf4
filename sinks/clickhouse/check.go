package clickhouse

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks"
)

// oldest is the first release that has all that the views and these checks ask
// for: refreshable materialized views, and CHECK GRANT.
var oldest = [2]int{25, 3}

// leastFree is the room on a disk below which nothing is written to it.
const leastFree = 16 << 20

// migrating are the rights that the migrations need in the database.
const migrating = "CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER, SELECT, INSERT"

// byHand is what to do about something that is not made by itself.
const byHand = "and migrate_on_start is off; run connector migrate up"

var _ sinks.Checker = (*Sink)(nil)

// Check implements [sinks.Checker], at every address.
func (s *Sink) Check(ctx context.Context, tables []*schema.Table, prepares bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	wrong, ids := make([]error, len(s.cfg.Addresses)), make([]string, len(s.cfg.Addresses))
	var checks sync.WaitGroup
	for i, address := range s.cfg.Addresses {
		checks.Go(func() {
			found, id, err := s.checkAddress(ctx, address, tables, prepares)
			wrong[i], ids[i] = errors.Join(append(found, err)...), id
		})
	}
	checks.Wait()
	slices.Sort(ids)
	if servers := slices.Compact(slices.DeleteFunc(ids, func(id string) bool { return id == "" })); len(servers) > 1 {
		wrong = append(wrong, fmt.Errorf("clickhouse %s: these are different servers with tables of their own, so that one batch could be written to one and the next to another; name one of them, or use replicated tables",
			strings.Join(s.cfg.Addresses, ", ")))
	}
	return errors.Join(wrong...)
}

// checkAddress collects what is wrong at one address; err is that it could not be
// found out. The id is that of a server whose tables are its own.
func (s *Sink) checkAddress(ctx context.Context, address string, tables []*schema.Table, prepares bool) (wrong []error, id string, err error) {
	cfg := s.cfg
	cfg.Addresses, cfg.MaxConnections = strictyaml.List{address}, 1
	conn, err := Connect(cfg)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	c := &checking{Sink: &Sink{name: s.name, cfg: cfg, conn: conn, tables: map[string]*table{}}, prepares: prepares}
	if err := conn.Ping(ctx); err != nil {
		return nil, "", c.unreachable(err)
	}
	if err := c.server(ctx); err != nil {
		return c.wrong, "", err
	}
	if err := c.database(ctx); err != nil {
		return c.wrong, "", err
	}
	replicated := len(tables) > 0
	for _, t := range tables {
		engine, err := c.table(ctx, t)
		if err != nil {
			return c.wrong, "", err
		}
		replicated = replicated && remembersForAll(engine)
	}
	if !replicated {
		id = c.id
	}
	return c.wrong, id, nil
}

// checking is the check of one server. Its methods return an error where they
// could not find out, and report what is wrong.
type checking struct {
	*Sink
	prepares bool
	wrong    []error

	id      string
	version uint64 // of the migrations
}

func (c *checking) report(format string, args ...any) {
	c.wrong = append(c.wrong, c.wrongf(format, args...))
}

func (c *checking) wrongf(format string, args ...any) error {
	return fmt.Errorf("clickhouse "+c.cfg.Addresses[0]+": "+format, args...)
}

// unreachable says what to do about a server that does not let anybody in.
func (c *checking) unreachable(err error) error {
	code := codeOf(err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case code == proto.ErrAuthenticationFailed || code == proto.ErrUnknownUser || code == proto.ErrWrongPassword || code == proto.ErrRequiredPassword:
		return c.wrongf("%w; set username and password, or password_file, to those of a user of this server", code)
	case code == proto.ErrIPAddressNotAllowed:
		return c.wrongf("%w; allow this host to the user on the server", code)
	case code != 0:
		return c.describe(err)
	case untrusted:
		return c.wrongf("%w; set tls.ca_file to the authority of the server's certificate, and tls.server_name where the certificate has another name", err)
	case plain:
		return c.wrongf("%w; the port does not speak TLS: use the server's TLS port, customarily 9440, or set tls.enabled to false", err)
	case c.cfg.TLS.Enabled:
		return c.wrongf("%w; start the server, or correct addresses: the native port with TLS is customarily 9440", err)
	default:
		return c.wrongf("%w; start the server, or correct addresses: the native port is customarily 9000, and with TLS, which needs tls.enabled, 9440", err)
	}
}

// codeOf returns the server's error code, 0 where the error is none of the server's.
func codeOf(err error) proto.Error {
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return proto.Error(exception.Code)
	}
	return 0
}

// Server returns the server's version and its clock.
func (s *Sink) Server(ctx context.Context) (version string, clock time.Time, err error) {
	if err := s.conn.QueryRow(ctx, "SELECT version(), now64(3, 'UTC')").Scan(&version, &clock); err != nil {
		return "", time.Time{}, s.describe(err)
	}
	return version, clock, nil
}

// A Disk is a disk of the server, as far as it may be filled.
type Disk struct {
	Name        string
	Free, Total uint64 // bytes
}

// Disks returns the server's local disks.
func (s *Sink) Disks(ctx context.Context) (disks []Disk, err error) {
	rows, err := s.conn.Query(ctx, "SELECT name, free_space, total_space FROM system.disks WHERE type = 'Local' AND NOT is_read_only")
	if err != nil {
		return nil, s.describe(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	for rows.Next() {
		var d Disk
		if err := rows.Scan(&d.Name, &d.Free, &d.Total); err != nil {
			return nil, fmt.Errorf("clickhouse: system.disks: %w", err)
		}
		disks = append(disks, d)
	}
	if err := rows.Err(); err != nil {
		return nil, s.describe(err)
	}
	return disks, nil
}

// server looks at what has nothing to do with the database.
func (c *checking) server(ctx context.Context) error {
	var version, readOnly string
	if err := c.conn.QueryRow(ctx, "SELECT version(), toString(serverUUID()), toString(getSetting('readonly'))").Scan(&version, &c.id, &readOnly); err != nil {
		return c.describe(err)
	}
	if tooOld(version) {
		c.report("the server has version %s; it must be %d.%d or later", version, oldest[0], oldest[1])
	}
	if readOnly != "0" {
		c.report("the user %s is read-only (readonly=%s); give it a profile with readonly = 0", c.cfg.Username, readOnly)
	}
	disks, err := c.Disks(ctx)
	if err != nil && !errors.Is(err, proto.ErrAccessDenied) { // Writing does not need the right to look.
		return err
	}
	for _, d := range disks {
		if d.Free < leastFree {
			c.report("the disk %s has %d bytes left; make room, or drop old partitions", d.Name, d.Free)
		}
	}
	return nil
}

// tooOld reads a version such as 26.7.2.1.
func tooOld(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err == nil && err2 == nil && slices.Compare([]int{major, minor}, oldest[:]) < 0
}

// database looks at the database and at the migrations.
func (c *checking) database(ctx context.Context) error {
	name := "`" + c.cfg.Database + "`"
	var databases, versions uint64
	if err := c.conn.QueryRow(ctx, `SELECT (SELECT count() FROM system.databases WHERE name = ?),
	(SELECT count() FROM system.tables WHERE database = ? AND name = 'schema_migrations')`, c.cfg.Database, c.cfg.Database).Scan(&databases, &versions); err != nil {
		return c.describe(err)
	}
	var dirty uint8
	if versions > 0 {
		var version int64
		err := c.conn.QueryRow(ctx, "SELECT version, dirty FROM "+name+".schema_migrations ORDER BY sequence DESC LIMIT 1").Scan(&version, &dirty)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return c.describe(err)
		}
		c.version = uint64(max(version, 0)) // -1 is before the first.
	}
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	behind := c.version < newest || dirty > 0
	switch {
	case c.version > newest:
		c.report("the tables of database %s have version %d, and this program knows %d; use the newer program", name, c.version, newest)
	case databases == 0 && !c.prepares:
		c.report("the database %s is missing, "+byHand, name)
	case versions > 0 && behind && !c.prepares:
		c.report("the tables of database %s have version %d of %d, "+byHand, name, c.version, newest)
	case behind && c.prepares:
		rights := migrating
		if databases == 0 {
			rights = "CREATE DATABASE, " + rights
		}
		return c.need(ctx, rights, name+".*")
	}
	return nil
}

func newestMigration() (uint64, error) {
	files, err := schema.Migrations.ReadDir("migrations")
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	var newest uint64
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("migrations: %s: %w", f.Name(), err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// need reports rights that the user has not got.
func (c *checking) need(ctx context.Context, rights, on string) error {
	var granted uint8
	if err := c.conn.QueryRow(ctx, "CHECK GRANT "+rights+" ON "+on).Scan(&granted); err != nil {
		return c.describe(err)
	}
	if granted == 0 {
		c.report("the user has not all of the rights that it needs; run: GRANT %s ON %s TO %s", rights, on, c.cfg.Username)
	}
	return nil
}

// table looks at one table, and returns its engine.
func (c *checking) table(ctx context.Context, t *schema.Table) (engine string, err error) {
	name := "`" + c.cfg.Database + "`.`" + t.Name + "`"
	err = c.conn.QueryRow(ctx, "SELECT engine FROM system.tables WHERE database = ? AND name = ?", c.cfg.Database, t.Name).Scan(&engine)
	if errors.Is(err, sql.ErrNoRows) {
		return "", c.missing(t, name)
	}
	if err != nil {
		return "", c.describe(err)
	}
	switch {
	case strings.HasSuffix(engine, "View"):
		c.report("%s is a view; give it another name, for a table of that name is written to", name)
		return engine, nil
	case storesTwice(engine):
		c.report("table %s has the engine %s, which would store a repeated insert twice; make it a ReplacingMergeTree or a MergeTree", name, engine)
	}
	if err := c.checkWindow(ctx, t.Name); err != nil {
		c.wrong = append(c.wrong, err)
	}
	before := len(c.wrong)
	if err := c.columns(ctx, t, name); err != nil {
		return "", err
	}
	if err := c.need(ctx, "SELECT, INSERT", name); err != nil {
		return "", err
	}
	if len(c.wrong) == before {
		c.try(ctx, t)
	}
	return engine, nil
}

// storesTwice reports an engine that forgets what was inserted. Of those that pass
// rows on nothing is known.
func storesTwice(engine string) bool {
	return slices.Contains([]string{"Memory", "Log", "TinyLog", "StripeLog", "Join", "Set", "File", "URL", "S3"}, engine)
}

// remembersForAll reports an engine whose replicas are one table.
func remembersForAll(engine string) bool {
	return strings.HasPrefix(engine, "Replicated") || strings.HasPrefix(engine, "Shared")
}

// missing reports a table that nobody will make. The migrations make those of the
// contracts that are built in.
func (c *checking) missing(t *schema.Table, name string) error {
	builtin, err := schema.Builtin()
	if err != nil {
		return err
	}
	made := slices.ContainsFunc(schema.Tables(builtin), func(b *schema.Table) bool { return b.Name == t.Name })
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	switch {
	case !made:
		c.report("table %s is missing; make it as docs/configuration.md shows: with all columns of its contract, as a ReplacingMergeTree(normalized_at) with the setting non_replicated_deduplication_window = 10000", name)
	case c.version >= newest:
		c.report("table %s is missing although the migrations have run; bring it back from a backup, or make it as the file in schema/migrations does", name)
	case !c.prepares:
		c.report("table %s is missing, "+byHand, name)
	}
	return nil
}

// columns reports columns that the rows do not fit into.
func (c *checking) columns(ctx context.Context, t *schema.Table, name string) error {
	rows, err := c.conn.Query(ctx, "SELECT name, type, default_kind FROM system.columns WHERE database = ? AND table = ?", c.cfg.Database, t.Name)
	if err != nil {
		return c.describe(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	types, computed := map[string]string{}, map[string]string{}
	for rows.Next() {
		var column, typ, kind string
		if err := rows.Scan(&column, &typ, &kind); err != nil {
			return fmt.Errorf("clickhouse: system.columns: %w", err)
		}
		types[column] = typ
		if kind == "MATERIALIZED" || kind == "ALIAS" {
			computed[column] = kind
		}
	}
	if err := rows.Err(); err != nil {
		return c.describe(err)
	}
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	for _, want := range t.Columns {
		is, there := types[want.Name]
		switch {
		case !there && c.prepares && c.version < newest:
			// A migration may add it.
		case !there:
			c.report("column %s of table %s is missing; run: ALTER TABLE %s ADD COLUMN `%s` %s", want.Name, name, name, want.Name, want.ClickHouseType())
		case computed[want.Name] != "":
			c.report("column %s of table %s is %s and takes no values; give it another name", want.Name, name, computed[want.Name])
		case !takes(is, want):
			c.report("column %s of table %s has the type %s; run: ALTER TABLE %s MODIFY COLUMN `%s` %s", want.Name, name, is, name, want.Name, want.ClickHouseType())
		}
	}
	return nil
}

// beside are the parts of a type that do not change which values it takes.
var beside = regexp.MustCompile(`LowCardinality\((.*)\)|(DateTime64\(3), '[^']*'`)

// takes reports whether a column of the type holds every value of the contract's
// column. One that is nullable takes what is not.
func takes(is string, want schema.Column) bool {
	plain := func(typ string) string { return beside.ReplaceAllString(typ, "$1$2") }
	have, need := plain(is), plain(want.ClickHouseType())
	return have == need || have == "Nullable("+need+")"
}

// try begins an insert as Write does and breaks it off before a row is sent: so
// the server tells what else it has against it.
func (c *checking) try(ctx context.Context, t *schema.Table) {
	insert, err := c.conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings("check"))), c.Sink.table(t).insert)
	if err == nil {
		err = insert.Abort()
	}
	if err == nil {
		return
	}
	advice := ""
	if code := codeOf(err); code == proto.ErrReadonly || code == proto.ErrSettingConstraintViolation {
		advice = "; let the user's profile change the settings of an insert, such as insert_deduplication_token"
	}
	c.wrong = append(c.wrong, fmt.Errorf("insert into table %s.%s: %w%s", c.cfg.Database, t.Name, c.describe(err), advice))
}
