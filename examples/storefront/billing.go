package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// billingLatency is how slow the billing system is.
const billingLatency = 150 * time.Millisecond

// billing plays somebody else's system: slow, and silent about its changes.
type billing struct {
	client  *billingClient
	server  *http.Server
	serving sync.WaitGroup
}

func startBilling(ctx context.Context) (*billing, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /invoices/{account}", serveInvoices)
	b := &billing{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		client: &billingClient{
			base: "http://" + listener.Addr().String(),
			http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
		},
	}
	b.serving.Go(func() {
		if err := b.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("storefront: billing ended", "error", err)
		}
	})
	return b, nil
}

func serveInvoices(w http.ResponseWriter, r *http.Request) {
	if pretend(r.Context(), billingLatency) != nil {
		return // the client has gone
	}
	account := r.PathValue("account")
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(account))
	list := InvoiceList{Account: account, AsOf: time.Now().UTC().Truncate(time.Millisecond)}
	for i := range int(hash.Sum32()%4) + 2 {
		list.Invoices = append(list.Invoices, Invoice{
			ID:          fmt.Sprintf("inv_%s_%02d", account, i+1),
			AmountCents: int64(hash.Sum32()%90_000) + int64(i)*1_250,
			Paid:        i > 0,
		})
	}
	writeJSON(w, http.StatusOK, list)
}

func (b *billing) close() error {
	b.client.http.CloseIdleConnections()
	err := b.server.Close()
	b.serving.Wait()
	return err
}

// pretend takes as long as something real would.
func pretend(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
