package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
)

const (
	// staleDelivery is the age of the oldest record that a sink has not got from
	// which somebody should look, and silence how long no webhook may come: those of
	// the alert rules DeliveryStale and NoWebhooks.
	staleDelivery = 5 * time.Minute
	silence       = 6 * time.Hour
)

// examineKafka looks at brokers and topics, at what each sink has not got yet, and
// at what came last.
func (e *examination) examineKafka(ctx context.Context, now time.Time) []finding {
	all, answers := e.surveyKafka(ctx)
	all = gatherTopics(all)
	if !answers {
		return all // What follows would only fail for the same reason.
	}
	for _, s := range e.sinks {
		all = append(all, e.examineLag(ctx, s, now)...)
	}
	return append(all, e.examineArrival(ctx, now)...)
}

// gatherTopics makes one finding of all topics that are fine.
func gatherTopics(all []finding) []finding {
	fineTopic := func(f finding) bool { return f.State == fine && strings.HasPrefix(f.Part, topicPart) }
	names := 0
	for _, f := range all {
		if fineTopic(f) {
			names++
		}
	}
	if names > 0 {
		all = append(slices.DeleteFunc(all, fineTopic), finef("topics", "%d as configured", names))
	}
	return all
}

// examineLag looks at what a sink has not got yet.
func (e *examination) examineLag(ctx context.Context, s examinedSink, now time.Time) []finding {
	part := "lag of sink " + s.cfg.Name
	lags, err := e.lags(ctx, s)
	if err != nil {
		return found(part, broken, err)
	}
	var all []finding
	var records int64
	var oldest time.Time
	for _, l := range lags {
		if l.Lost > 0 {
			all = append(all, foundf(part, broken, "%d records of %s were deleted before they were delivered; make the topic's retention longer, and bring back what raw_webhooks has with connector replay", l.Lost, l.Topic))
		}
		if !l.Begun && s.cfg.Start != kafka.StartEarliest {
			continue // It will not take what was there before it.
		}
		records += l.Records
		if !l.Oldest.IsZero() && (oldest.IsZero() || l.Oldest.Before(oldest)) {
			oldest = l.Oldest
		}
	}
	f := finef(part, "nothing")
	if records > 0 && !oldest.IsZero() {
		f = finef(part, "%d records, the oldest %s", records, age(now, oldest))
		if now.Sub(oldest) > staleDelivery+s.cfg.Batch.MaxAge {
			f.State, f.Advice = doubtful, "see that the service runs, and what it says of this sink; the records are kept meanwhile, for as long as the topics' retention"
		}
	}
	return append(all, f)
}

// examineArrival looks when each topic's last record came.
func (e *examination) examineArrival(ctx context.Context, now time.Time) []finding {
	const part = "last webhook"
	latest, err := e.kafka.Latest(ctx, e.topics())
	if err != nil {
		return found(part, broken, err)
	}
	f := finef(part, "none in Kafka")
	at, came := latest[e.cfg.Kafka.TopicPrefix+schema.RawWebhooks().Topic]
	if came {
		var topics []string
		for _, c := range e.contracts {
			when := "none"
			if at, came := latest[e.cfg.Kafka.TopicPrefix+c.Topic]; came {
				when = age(now, at)
			}
			topics = append(topics, c.Topic+" "+when)
		}
		f = finef(part, "%s (%s): %s", age(now, at), at.Format(time.RFC3339), strings.Join(topics, ", "))
	}
	if !came || now.Sub(at) > silence {
		f.State = doubtful
		f.Advice = "see at SHOPLINE that the app's webhooks are subscribed, for it deletes a subscription after 19 failures, and that the receiver can be reached from outside"
	}
	return []finding{f}
}
