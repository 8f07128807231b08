package salesforcetest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

func TestClientCredentials(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	code, answer := post(t, s, credentials())
	want := s.LoginURL() + "/id/" + salesforcetest.DefaultOrg + "/" + salesforcetest.DefaultUser
	if code != http.StatusOK || answer["access_token"] == "" || answer["instance_url"] != s.LoginURL() || answer["id"] != want ||
		answer["token_type"] != "Bearer" || answer["issued_at"] == "" || answer["expires_in"] != "" || answer["refresh_token"] != "" {
		t.Errorf("login = %d %v", code, answer)
	}
	for name, tt := range map[string]struct{ key, value, code string }{
		"other secret": {"client_secret", "x", "invalid_client"},
		"no secret":    {"client_secret", "", "invalid_client"},
		"other client": {"client_id", "x", "invalid_client"},
		"other grant":  {"grant_type", "password", "unsupported_grant_type"},
		"no grant":     {"grant_type", "", "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			form := credentials()
			form.Set(tt.key, tt.value)
			wantRefused(t, s, form, tt.code)
		})
	}
	s.RefuseLogins(true)
	wantRefused(t, s, credentials(), "invalid_grant")
	s.RefuseLogins(false)
	login(t, s)
	if got := s.Logins(); got != 2 {
		t.Errorf("%d logins were granted; want 2", got)
	}
}

func wantRefused(t *testing.T, s *salesforcetest.Server, form url.Values, want string) {
	t.Helper()
	code, answer := post(t, s, form)
	if code != http.StatusBadRequest || answer["error"] != want || answer["error_description"] == "" || answer["access_token"] != "" {
		t.Errorf("login = %d %v; want 400 %s with a description", code, answer, want)
	}
}

func sign(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func bearer(assertion string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestJWTBearer(t *testing.T) {
	key, stranger := newKey(t), newKey(t)
	s := start(t, salesforcetest.Options{JWTKey: &key.PublicKey})
	rs256 := map[string]any{"alg": "RS256"}
	claims := func(changes map[string]any) map[string]any {
		c := map[string]any{
			"iss": salesforcetest.ClientID, "sub": salesforcetest.DefaultUsername, "aud": "https://login.salesforce.com",
			"exp": time.Now().Add(2 * time.Minute).Unix(),
		}
		maps.Copy(c, changes)
		return c
	}
	for name, change := range map[string]map[string]any{
		"as documented": nil, "a sandbox": {"aud": "https://test.salesforce.com"}, "this server": {"aud": s.LoginURL()},
	} {
		t.Run(name, func(t *testing.T) {
			if code, answer := post(t, s, bearer(sign(t, key, rs256, claims(change)))); code != http.StatusOK || answer["access_token"] == "" {
				t.Errorf("login = %d %v; want 200", code, answer)
			}
		})
	}
	for name, assertion := range map[string]string{
		"other issuer":    sign(t, key, rs256, claims(map[string]any{"iss": "x"})),
		"other user":      sign(t, key, rs256, claims(map[string]any{"sub": "x"})),
		"other audience":  sign(t, key, rs256, claims(map[string]any{"aud": "https://example.com"})),
		"expired":         sign(t, key, rs256, claims(map[string]any{"exp": time.Now().Add(-time.Second).Unix()})),
		"ends too late":   sign(t, key, rs256, claims(map[string]any{"exp": time.Now().Add(4 * time.Minute).Unix()})),
		"no end":          sign(t, key, rs256, claims(map[string]any{"exp": nil})),
		"other algorithm": sign(t, key, map[string]any{"alg": "none"}, claims(nil)),
		"other key":       sign(t, stranger, rs256, claims(nil)),
		"no parts":        "x",
		"two parts":       "x.y",
		"empty":           "",
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, s, bearer(assertion), "invalid_grant") })
	}
	t.Run("no certificate", func(t *testing.T) {
		wantRefused(t, start(t, salesforcetest.Options{}), bearer(sign(t, key, rs256, claims(nil))), "invalid_grant")
	})
}

// The oldest token of too many ends.
func TestTokensAreBounded(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	get := func() error {
		_, err := c.rpc.GetTopic(c.ctx, &eventbus.TopicRequest{TopicName: orders})
		return err
	}
	for range 999 {
		login(t, s)
	}
	if err := get(); err != nil {
		t.Errorf("the first of 1000 tokens: %v", err)
	}
	login(t, s)
	if err := get(); err == nil {
		t.Error("the first of 1001 tokens is good")
	}
}

func TestUserinfo(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	get := func(token string) (int, map[string]string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.LoginURL()+"/services/oauth2/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return do(t, req)
	}
	token := login(t, s)
	if code, answer := get(token); code != http.StatusOK || answer["organization_id"] != salesforcetest.DefaultOrg || answer["user_id"] == "" {
		t.Errorf("userinfo = %d %v", code, answer)
	}
	s.ExpireTokens()
	if code, answer := get(token); code != http.StatusUnauthorized {
		t.Errorf("userinfo with an expired token = %d %v; want 401", code, answer)
	}
}
