package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// InvoiceList is what the billing system says of an account.
type InvoiceList struct {
	Account  string    `json:"account"`
	AsOf     time.Time `json:"asOf"` // when billing said so
	Invoices []Invoice `json:"invoices"`
}

// Invoice is one bill.
type Invoice struct {
	ID          string `json:"id"`
	AmountCents int64  `json:"amountCents"`
	Paid        bool   `json:"paid"`
}

// Billing tells nobody what it changes. So its answers live for invoicesTTL, and that long a reader may see an old one.
const (
	invoicesSpace = "invoices:account"
	invoicesTTL   = 90 * time.Second
)

// invoices caches the answers of an external billing system.
type invoices struct {
	lists *tier.Space[*InvoiceList]
}

func newInvoices(cache *tier.Cache, billing *billingClient) (*invoices, error) {
	lists, err := tier.NewSpace(cache, tier.SpaceConfig[*InvoiceList]{
		Name:     invoicesSpace,
		Strategy: tier.TTL(invoicesTTL),
		Load: traced(func(ctx context.Context, id string) (*InvoiceList, error) {
			return billing.InvoicesOf(ctx, tier.Parts(id)[0])
		}),
		LoadTimeout: 3 * time.Second,
	})
	return &invoices{lists: lists}, err
}

func (i *invoices) register(mux *http.ServeMux) {
	mux.Handle("GET /invoices/{account}", answer(func(r *http.Request) (*InvoiceList, error) {
		return i.lists.Get(r.Context(), tier.ID(r.PathValue("account")))
	}))
}

// billingClient talks to the billing system. Its methods may be called from any goroutine.
type billingClient struct {
	base string
	http *http.Client
}

// InvoicesOf asks for the invoices of an account.
func (b *billingClient) InvoicesOf(ctx context.Context, account string) (*InvoiceList, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/invoices/"+url.PathEscape(account), nil)
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("billing: invoices of %q: %s", account, resp.Status)
	}
	list := new(InvoiceList)
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(list); err != nil {
		return nil, fmt.Errorf("billing: invoices of %q: %w", account, err)
	}
	return list, nil
}
