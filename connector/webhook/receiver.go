package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"loyaltyhouse/connector/normalize"
)

// Path is where SHOPLINE posts its webhooks.
const Path = "/webhooks/shopline"

// retryAfterSeconds is what a 503 asks for. SHOPLINE has its own schedule, but
// other senders and proxies heed it.
const retryAfterSeconds = "2"

// smallBody is the size up to which the number of requests in flight bounds the
// memory well enough. SHOPLINE's bodies are smaller, so that they get through
// while somebody without a secret holds the memory for large ones.
const smallBody = 64 << 10

// The headers of a webhook in Go's canonical form; net/http has matched them
// without regard to case.
const (
	headerTopic      = "X-Shopline-Topic"
	headerSignature  = "X-Shopline-Hmac-Sha256"
	headerShopDomain = "X-Shopline-Shop-Domain"
	headerShopID     = "X-Shopline-Shop-Id"
	headerMerchantID = "X-Shopline-Merchant-Id"
	headerAPIVersion = "X-Shopline-Api-Version"
	headerWebhookID  = "X-Shopline-Webhook-Id"
)

// A Publisher keeps records durably.
type Publisher interface {
	// Publish returns nil only when every record is held by all in-sync
	// replicas. After an error some of them may be held nevertheless.
	Publish(ctx context.Context, records ...Record) error
}

// A Receiver answers SHOPLINE's webhooks.
type Receiver struct {
	cfg        Config
	verifier   atomic.Pointer[Verifier]
	normalizer *normalize.Normalizer
	publisher  Publisher
	records    Records
	slots      *semaphore.Weighted
	memory     *semaphore.Weighted
	metrics    *metrics
	log        *slog.Logger
	now        func() time.Time
	handler    http.Handler

	bufferTrouble occasion
}

// New returns a receiver. The secrets are the app secrets themselves: the
// caller has read secrets_file.
func New(cfg Config, secrets []string, n *normalize.Normalizer, p Publisher, reg prometheus.Registerer, log *slog.Logger, now func() time.Time) (*Receiver, error) {
	m, err := newMetrics(reg, n)
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		cfg: cfg, normalizer: n, publisher: p, records: NewRecords(),
		slots: semaphore.NewWeighted(int64(cfg.MaxInFlight)), memory: semaphore.NewWeighted(cfg.MaxInFlightBytes),
		metrics: m, log: log, now: now,
	}
	r.SetSecrets(secrets)
	r.handler = r.routes()
	return r, nil
}

// SetSecrets replaces the app secrets for the webhooks that are verified from now on.
func (r *Receiver) SetSecrets(secrets []string) { r.verifier.Store(NewVerifier(secrets)) }

// Handler returns the routes, for a server or a test.
func (r *Receiver) Handler() http.Handler { return r.handler }

func (r *Receiver) routes() http.Handler {
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.Use(r.measure, gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) {
		r.log.LogAttrs(c.Request.Context(), slog.LevelError, "a webhook made the receiver panic; it was answered 503 and will be sent again",
			slog.String("stack", string(debug.Stack()))) // It has no values, unlike what the panic says.
		r.refuse(c, errInternal)
	}))
	engine.POST(Path, r.receive)
	engine.NoMethod(func(c *gin.Context) { r.refuse(c, errMethod) })
	engine.NoRoute(func(c *gin.Context) { r.refuse(c, errPath) })
	return engine
}

// topicKey is where receive leaves the label for measure.
const topicKey = "topic"

func (r *Receiver) measure(c *gin.Context) {
	start := r.now()
	r.metrics.inFlight.Inc()
	defer func() {
		topic := c.GetString(topicKey)
		if topic == "" {
			topic = unknownTopic
		}
		status := strconv.Itoa(c.Writer.Status())
		r.metrics.inFlight.Dec()
		r.metrics.requests.WithLabelValues(status, topic).Inc()
		r.metrics.duration.WithLabelValues(status).Observe(r.now().Sub(start).Seconds())
	}()
	c.Next()
}

// receive is the way of one webhook: limit, read, verify, normalize, publish,
// answer.
func (r *Receiver) receive(c *gin.Context) {
	req := c.Request
	c.Set(topicKey, r.normalizer.Topic(req.Header.Get(headerTopic)))
	if req.ContentLength > r.cfg.MaxBodyBytes {
		r.refuse(c, errTooLarge)
		return
	}
	size := req.ContentLength
	if size < 0 {
		size = r.cfg.MaxBodyBytes
	}
	if !r.slots.TryAcquire(1) {
		r.refuse(c, errOverloaded)
		return
	}
	defer r.slots.Release(1)
	if size > smallBody {
		if !r.memory.TryAcquire(size) {
			r.refuse(c, errOverloaded)
			return
		}
		defer r.memory.Release(size)
	}

	body, err := r.read(c)
	if err != nil {
		r.refuse(c, err)
		return
	}
	if signature := req.Header.Get(headerSignature); signature == "" {
		r.refuse(c, errUnsigned)
		return
	} else if !r.verifier.Load().Verify(signature, body) {
		r.refuse(c, errSignature)
		return
	}
	if err := r.keep(req, body); err != nil {
		r.refuse(c, err)
		return
	}
	c.Status(http.StatusOK)
}

// keep stores what the signed body says; nil means that it is durable.
func (r *Receiver) keep(req *http.Request, body []byte) error {
	now := r.now()
	d := DeliveryOf(req.Header, body, now)
	result := r.normalizer.Normalize(d, now)
	records := r.records.Of(d, result)
	ctx, cancel := context.WithTimeout(req.Context(), r.cfg.PublishTimeout)
	defer cancel()
	if err := r.publisher.Publish(ctx, records[:]...); err != nil {
		return err
	}
	// Counted now, so that a resend after a 503 does not count twice.
	if result.Reject != nil {
		r.metrics.rejects.WithLabelValues(string(result.Reject.Reason)).Inc()
	}
	if result.StoreMismatch {
		r.metrics.mismatches.Inc()
	}
	return nil
}

// DeliveryHeaders are the headers that become part of a delivery.
func DeliveryHeaders() []string {
	return []string{headerTopic, headerShopID, headerShopDomain, headerMerchantID, headerAPIVersion, headerWebhookID}
}

// DeliveryOf is the delivery of a body that came with these headers.
func DeliveryOf(header http.Header, body []byte, receivedAt time.Time) normalize.Delivery {
	return normalize.Delivery{
		Topic:      header.Get(headerTopic),
		ShopID:     header.Get(headerShopID),
		ShopDomain: header.Get(headerShopDomain),
		MerchantID: header.Get(headerMerchantID),
		APIVersion: header.Get(headerAPIVersion),
		WebhookID:  header.Get(headerWebhookID),
		Body:       body,
		ReceivedAt: receivedAt,
	}
}

func (r *Receiver) read(c *gin.Context) ([]byte, error) {
	if n := c.Request.ContentLength; n >= 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(c.Request.Body, body)
		return body, wrapRead(err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, r.cfg.MaxBodyBytes))
	return body, wrapRead(err)
}

func wrapRead(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return errTooLarge
	default:
		return errBrokenBody
	}
}

// A refusal is an answer that is not 200.
type refusal struct {
	status  int
	reason  string
	message string
}

func (e *refusal) Error() string { return e.reason }

var (
	errUnsigned   = &refusal{status: http.StatusUnauthorized, reason: "missing_signature", message: "Send the header X-Shopline-Hmac-Sha256: the HMAC-SHA256 of the raw body under the app secret, in hex or base64."}
	errSignature  = &refusal{status: http.StatusUnauthorized, reason: "invalid_signature", message: "The signature does not match the body under any configured app secret. Check that the secret is the app's own and that nothing between changes the body."}
	errTooLarge   = &refusal{status: http.StatusRequestEntityTooLarge, reason: "body_too_large", message: "The body is larger than receiver.max_body_bytes allows."}
	errBrokenBody = &refusal{status: http.StatusBadRequest, reason: "incomplete_body", message: "The body ended or stalled before Content-Length was reached. Send the request again."}
	errMethod     = &refusal{status: http.StatusMethodNotAllowed, reason: "method_not_allowed", message: "Webhooks are sent with POST."}
	errPath       = &refusal{status: http.StatusNotFound, reason: "not_found", message: "Webhooks are received at " + Path + "."}
	errOverloaded = &refusal{status: http.StatusServiceUnavailable, reason: "overloaded", message: "Too many webhooks are being worked on. Send this one again later."}
	errInternal   = &refusal{status: http.StatusServiceUnavailable, reason: "internal_error", message: "The webhook could not be handled. Send it again later."}
	errBuffer     = &refusal{status: http.StatusServiceUnavailable, reason: "buffer_unavailable", message: "The buffer did not acknowledge the webhook in time. Send it again later."}
)

// refuse is the one place where an error becomes an HTTP status. An error that
// it does not know comes from the buffer and means 503: SHOPLINE sends again.
func (r *Receiver) refuse(c *gin.Context, err error) {
	var e *refusal
	if !errors.As(err, &e) {
		e = errBuffer
		if skipped, ok := r.bufferTrouble.due(r.now()); ok {
			r.log.LogAttrs(c.Request.Context(), slog.LevelWarn, "the buffer did not acknowledge a webhook; it was answered 503 and will be sent again",
				slog.Int("not_logged_since", skipped), slog.Any("error", err))
		}
	}
	if e.status == http.StatusServiceUnavailable {
		c.Header("Retry-After", retryAfterSeconds)
	}
	c.AbortWithStatusJSON(e.status, gin.H{"error": e.reason, "message": e.message})
}
