package salesforce_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

const goodAnswer = `{"access_token": "00D!token", "instance_url": "https://shop.my.salesforce.com/",
	"id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA", "token_type": "Bearer"}`

// loginServer answers logins with code and body, and returns the forms that it got.
func loginServer(t *testing.T, code int, body string) (server *httptest.Server, forms chan url.Values) {
	t.Helper()
	forms = make(chan url.Values, 1)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/services/oauth2/token" {
			t.Errorf("request is %s %s", r.Method, r.URL.Path)
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		forms <- r.PostForm
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server, forms
}

func TestClientCredentials(t *testing.T) {
	server, forms := loginServer(t, http.StatusOK, goodAnswer)
	auth := salesforce.ClientCredentials{Domain: server.URL, ClientID: "app", ClientSecret: "s&cret", HTTP: server.Client()}
	got, err := auth.Token(t.Context())
	want := salesforce.Token{Access: "00D!token", Instance: "https://shop.my.salesforce.com", Tenant: "00D000000000001AAA"}
	if got != want || err != nil {
		t.Errorf("token %+v, %v; want %+v", got, err, want)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"s&cret"}}
	if diff := cmp.Diff(form, <-forms); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
}

func TestJWTBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server, forms := loginServer(t, http.StatusOK, goodAnswer)
	auth := salesforce.JWTBearer{Login: server.URL, ClientID: "app", Username: "cache@shop.example", Key: key, HTTP: server.Client()}
	for _, audience := range []string{"", "https://test.salesforce.com"} {
		auth.Audience = audience
		if _, err := auth.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		form := <-forms
		if got := form.Get("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Errorf("grant_type = %q", got)
		}
		claims := verify(t, &key.PublicKey, form.Get("assertion"))
		exp, _ := claims["exp"].(float64)
		if left := time.Until(time.Unix(int64(exp), 0)); left <= time.Minute || left > 3*time.Minute {
			t.Errorf("the assertion lives for %s; want 1 to 3 minutes", left)
		}
		delete(claims, "exp")
		want := map[string]any{"iss": "app", "sub": "cache@shop.example", "aud": server.URL}
		if audience != "" {
			want["aud"] = audience
		}
		if diff := cmp.Diff(want, claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
	}
}

// verify checks an RS256 signature, and returns the claims.
func verify(t *testing.T, key *rsa.PublicKey, assertion string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		t.Fatalf("the assertion has %d parts; want 3", len(parts))
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			t.Fatal(err)
		}
	}
	var head struct{ Alg string }
	if err := errors.Join(json.Unmarshal(raw[0], &head), json.Unmarshal(raw[1], &claims)); err != nil || head.Alg != "RS256" {
		t.Fatalf("alg %q, %v", head.Alg, err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw[2]); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestLoginRefused(t *testing.T) {
	tests := []struct {
		name  string
		code  int
		body  string
		oauth string
		pause time.Duration
	}{
		{"wrong secret", 400, `{"error": "invalid_client", "error_description": "invalid client credentials"}`, "invalid_client", 5 * time.Minute},
		{"too many", 429, `{}`, "", 30 * time.Second},
		{"down", 503, `<html>`, "", 0},
		{"a redirect", 307, ``, "", 5 * time.Minute},
		{"no JSON", 200, `<html>`, "", 0},
		{"no token", 200, `{"instance_url": "https://shop.my.salesforce.com", "id": "https://x/id/00D/005"}`, "", 5 * time.Minute},
		{"no org", 200, `{"access_token": "00D!token", "instance_url": "https://shop.my.salesforce.com"}`, "", 5 * time.Minute},
		{"no instance", 200, `{"access_token": "00D!token", "id": "https://x/id/00D/005"}`, "", 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, forms := loginServer(t, tt.code, tt.body)
			auth := salesforce.ClientCredentials{Domain: server.URL, ClientID: "app", ClientSecret: "secret", HTTP: server.Client()}
			_, err := auth.Token(t.Context())
			refused, ok := errors.AsType[*salesforce.Error](err)
			if !ok || refused.Code != tt.oauth || refused.RetryAfter() != tt.pause || refused.Op != "log in" {
				t.Fatalf("error %v of type %T; want code %q, pause %s", err, err, tt.oauth, tt.pause)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "00D!token") {
				t.Errorf("the error carries a secret: %v", err)
			}
			<-forms
		})
	}
}

func TestLoginEnds(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := salesforce.ClientCredentials{Domain: server.URL, ClientID: "app", ClientSecret: "secret", HTTP: server.Client()}.Token(ctx)
	if took := time.Since(start); took > patience {
		t.Errorf("took %s; want no longer than the context lives", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v; want the end of the context", err)
	}
}

// What is printed ends up in logs.
func TestSecretsAreNotPrinted(t *testing.T) {
	cfg := salesforce.Config{Auth: salesforce.ClientCredentials{Domain: "https://shop.my.salesforce.com", ClientID: "app", ClientSecret: "secret"}}
	token := salesforce.Token{Access: "00D!token", Tenant: "00D"}
	if got := fmt.Sprintf("%v %+v %v %+v", cfg, cfg, token, token); strings.Contains(got, "secret") || strings.Contains(got, "00D!token") {
		t.Errorf("printed: %s", got)
	}
}
