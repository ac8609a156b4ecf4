//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/postgres/postgrestest"
)

// An application is a PostgreSQL server, and what a sink has stored there.
type application struct {
	server *postgrestest.Server

	mu   sync.Mutex
	runs bool
}

// startApplication starts the server, from the programs of Debian's package
// postgresql, in a directory that its user can reach.
func startApplication(ctx context.Context, dir string) (*application, error) {
	server, err := postgrestest.Start(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("the sink of PostgreSQL needs a server: %w", err)
	}
	return &application{server: server, runs: true}, nil
}

// whileRunning ends or disturbs the server, unless it has ended.
func (a *application) whileRunning(ends bool, do func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.runs {
		return nil
	}
	a.runs = !ends
	return do()
}

// start starts the server, unless it runs.
func (a *application) start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runs {
		return nil
	}
	a.runs = true
	return a.server.Restart(ctx)
}

func (a *application) close() error { return a.whileRunning(true, a.server.Close) }

func (a *application) target() *target {
	return &target{
		place:     place{name: "postgres", group: "postgres", class: postgresClass},
		kill:      func() error { return a.whileRunning(true, a.server.Kill) },
		terminate: a.close, start: a.start,
		stop:   func() error { return a.whileRunning(false, a.server.Pause) },
		resume: func() error { return a.whileRunning(false, a.server.Resume) },
	}
}

func (a *application) sink() string { return applicationSink }

// expected has a row for each event, as its latest normalization made it. Of
// what has no key, deliveries and dead letters, it has one for each record.
func (a *application) expected(t *schema.Table) string {
	if len(t.Key) > 0 {
		return "SELECT concat(toString(event_id), ' ', toString(max(normalized_ms))) AS key, event_id FROM " + scratch + ".records WHERE table = '" + t.Name + "' GROUP BY event_id"
	}
	return "SELECT concat(toString(event_id), ' ', toString(partition), '@', toString(offset)) AS key, event_id FROM " + scratch + ".records WHERE table = '" + t.Name + "'"
}

func (a *application) collect(ctx context.Context, w *warehouse, t *schema.Table) (err error) {
	conn, err := pgx.Connect(ctx, a.server.URL())
	if err != nil {
		return fmt.Errorf("read the tables of PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	key := "event_id || ' ' || _partition || '@' || _offset"
	if len(t.Key) > 0 {
		key = "event_id || ' ' || round(extract(epoch FROM normalized_at) * 1000)::bigint"
	}
	rows, err := conn.Query(ctx, "SELECT "+key+", event_id::text FROM "+pgx.Identifier{database, t.Name}.Sanitize())
	if err != nil {
		return fmt.Errorf("read the tables of PostgreSQL: %w", err)
	}
	defer rows.Close()
	stored := &inserter{conn: w.conn, table: scratch + ".stored"}
	for rows.Next() {
		var key, event string
		if err := rows.Scan(&key, &event); err != nil {
			return err
		}
		if err := stored.add(ctx, a.sink(), t.Name, key, event); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), stored.flush())
}

// section is the sink's part of a configuration, through a proxy.
func (a *application) section(address string) string {
	host, port, _ := strings.Cut(address, ":") // It is one of the run.
	return fmt.Sprintf("{host: %s, port: %s, database: %s, username: %[3]s, password: %[4]s}", host, port, postgrestest.Superuser, a.server.Password)
}
