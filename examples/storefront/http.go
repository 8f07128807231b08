package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// maxBody bounds the body of a request.
const maxBody = 1 << 16

// answer serves what get returns, with the headers X-Cache (miss: this request made the load; hit: L1, L2 or another's load
// answered) and X-Took.
func answer[V any](get func(*http.Request) (V, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, t := withTrace(r.Context())
		began := time.Now()
		value, err := get(r.WithContext(ctx))
		w.Header().Set("X-Took", time.Since(began).Round(time.Microsecond).String())
		w.Header().Set("X-Cache", t.String())
		if err != nil {
			fail(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, value)
	})
}

// change reads a request's body into a B, checks it, and applies it.
func change[B any, P interface {
	*B
	check() error
}](apply func(*http.Request, P) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := P(new(B))
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(body)
		if err == nil {
			err = body.check()
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		if err := apply(r, body); err != nil {
			fail(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// fail answers with what a client may know, and logs the rest.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusInternalServerError, "internal error"
	switch {
	case errors.Is(err, errNotFound):
		status, text = http.StatusNotFound, "not found"
	case errors.Is(err, tier.ErrClosed), errors.Is(err, context.Canceled):
		status, text = http.StatusServiceUnavailable, "stopping"
	case errors.Is(err, context.DeadlineExceeded):
		status, text = http.StatusGatewayTimeout, "the source did not answer in time"
	default:
		slog.ErrorContext(r.Context(), "storefront: a request failed", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, status, map[string]string{"error": text})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// named puts the pod's name on every answer.
func named(pod string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pod", pod)
		next.ServeHTTP(w, r)
	})
}

// A trace notes whether a request's own call ran the loader. A load's context keeps the values of the one who began it.
type trace struct{ loaded atomic.Bool }

type traceKey struct{}

func withTrace(ctx context.Context) (context.Context, *trace) {
	t := new(trace)
	return context.WithValue(ctx, traceKey{}, t), t
}

func (t *trace) String() string {
	if t.loaded.Load() {
		return "miss"
	}
	return "hit"
}

// traced makes a loader leave a trace.
func traced[V any](load func(context.Context, string) (V, error)) func(context.Context, string) (V, error) {
	return func(ctx context.Context, id string) (V, error) {
		if t, ok := ctx.Value(traceKey{}).(*trace); ok {
			t.loaded.Store(true)
		}
		return load(ctx, id)
	}
}
