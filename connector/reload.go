package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/config"
)

// watchInterval is how often the files of the configuration are looked at, where
// that is configured. They are read rather than watched by the system's means,
// which do not see what changes behind symbolic links and on network file systems.
const watchInterval = 2 * time.Second

// A configFile is where the configuration came from, and when to read it again.
type configFile struct {
	path   string
	hangup <-chan os.Signal
	// seen is the digest of the files when they were last read.
	seen string
}

// watched are the files whose content a reload takes: the configuration itself,
// the app secrets, and what the sinks name.
func (f *configFile) watched(cfg *config.Config) []string {
	files := []string{f.path, cfg.Receiver.SecretsFile}
	for i := range cfg.Sinks {
		files = append(files, cfg.Sinks[i].NamedFiles()...)
	}
	return files
}

// digest stands for the content of files, or for why they cannot be read.
func digest(files []string) string {
	hash := sha256.New()
	for _, file := range files {
		if file == "" {
			continue
		}
		content, err := os.ReadFile(file)                               //nolint:gosec // Whoever writes the configuration names its files, and only a hash of them leaves this function.
		_, _ = fmt.Fprintf(hash, "%q %v %d\n", file, err, len(content)) // A hash takes everything.
		_, _ = hash.Write(content)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// reloadMetrics tell whether the configuration in the file is the one in force.
type reloadMetrics struct {
	reloads *prometheus.CounterVec
	current prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_config_reloads_total",
			Help: "Reloads of the configuration, by result: applied or refused.",
		}, []string{"result"}),
		current: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loyaltyhouse_config_last_reload_successful",
			Help: "1 where the last reload was applied, or there was none; 0 where it was refused and the configuration before it is in force.",
		}),
	}
	m.current.Set(1)
	reg.MustRegister(m.reloads, m.current)
	return m
}

// reload reads the file again and takes its secrets and sinks over. What is
// wrong with it is logged, and then everything stays as it was.
func (s *service) reload(ctx context.Context, f *configFile) {
	f.seen = digest(f.watched(s.cfg))
	next, err := config.Load(f.path)
	if err == nil {
		// What changes while the sinks change over is taken with the next look.
		seen := digest(f.watched(next))
		if err = s.reconfigure(ctx, next); err == nil {
			f.seen = seen
		}
	}
	if err != nil {
		s.reloads.reloads.WithLabelValues("refused").Inc()
		s.reloads.current.Set(0)
		s.log.LogAttrs(ctx, slog.LevelError, "the new configuration is refused, and the one before it stays in force", slog.Any("error", err))
		return
	}
	s.reloads.reloads.WithLabelValues("applied").Inc()
	s.reloads.current.Set(1)
	names := make([]string, len(s.sinks))
	for i, sink := range s.sinks {
		names[i] = sink.cfg.Name
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "the configuration was read again", slog.String("file", f.path), slog.String("sinks", strings.Join(names, ", ")))
}

// reconfigure takes secrets and sinks over from next. Sinks that are as they were
// go on undisturbed. Where it returns an error nothing has changed, unless the
// process is ending meanwhile.
func (s *service) reconfigure(ctx context.Context, next *config.Config) (err error) {
	if (next.Embedded == nil) != (s.cfg.Embedded == nil) {
		return errors.New("embedded: cannot come or go while the connector runs; start it again")
	}
	secrets, err := next.Secrets()
	if err != nil {
		return err
	}
	if s.engine != nil {
		s.engine.point(next)
	}
	keep, open, err := s.planSinks(next)
	if err != nil {
		return err
	}
	if err := s.pages.connect(next, s.roles); err != nil {
		return errors.Join(err, closeAll(open))
	}
	if keys := fixedDifferences(s.cfg, next); len(keys) > 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "some of what has changed takes effect with the next start", slog.String("keys", strings.Join(keys, ", ")))
	}
	// From here on nothing can be wrong with it. A sink may take seconds to finish its
	// batch; webhooks need not wait for that.
	if s.receiver != nil {
		s.receiver.SetSecrets(secrets)
	}
	for _, old := range slices.Clone(s.sinks) {
		if slices.Contains(keep, old) {
			continue
		}
		if !s.stopSink(ctx, old) {
			// The process is ending, and with it the sinks that are left.
			return errors.Join(fmt.Errorf("sink %s did not stop before the process ends", old.cfg.Name), closeAll(open))
		}
		s.sinks = slices.DeleteFunc(s.sinks, func(r *runningSink) bool { return r == old })
	}
	for _, sink := range open {
		s.startSink(sink) //nolint:contextcheck // What it starts outlives ctx: see service.work.
		s.sinks = append(s.sinks, sink)
	}
	merged := *s.cfg
	merged.Sinks = next.Sinks
	merged.Receiver.Secrets, merged.Receiver.SecretsFile = next.Receiver.Secrets, next.Receiver.SecretsFile
	s.cfg = &merged
	return nil
}

// planSinks tells which of the running sinks stay, and opens the others.
func (s *service) planSinks(next *config.Config) (keep, open []*runningSink, err error) {
	if !s.roles.deliver {
		return nil, nil, nil
	}
	for _, c := range next.Sinks {
		i := slices.IndexFunc(s.sinks, func(r *runningSink) bool {
			return reflect.DeepEqual(r.cfg, c) && r.files == digest(c.NamedFiles())
		})
		if i >= 0 {
			keep = append(keep, s.sinks[i])
			continue
		}
		sink, err := s.openSink(c)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll(open))
		}
		open = append(open, sink)
	}
	return keep, open, nil
}

// fixedDifferences are the keys that differ and that a reload does not take over.
func fixedDifferences(old, next *config.Config) (keys []string) {
	a, b := old.Receiver, next.Receiver
	a.Secrets, a.SecretsFile = b.Secrets, b.SecretsFile
	for _, section := range []struct {
		key       string
		old, next any
	}{
		{"receiver", a, b},
		{"kafka", old.Kafka, next.Kafka},
		{"admin", old.Admin, next.Admin},
		{"log", old.Log, next.Log},
		{"contracts", old.Contracts, next.Contracts},
		{"migrate_on_start", old.MigrateOnStart, next.MigrateOnStart},
		{"reload_on_change", old.ReloadOnChange, next.ReloadOnChange},
		{"shutdown_timeout", old.ShutdownTimeout, next.ShutdownTimeout},
		{"embedded", old.Embedded, next.Embedded},
	} {
		if !reflect.DeepEqual(section.old, section.next) {
			keys = append(keys, section.key)
		}
	}
	return keys
}
