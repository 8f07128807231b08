package salesforce

import (
	"cmp"
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
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	loginTimeout = 30 * time.Second
	maxAnswer    = 64 << 10 // bytes of an answer to a login that are read
	// assertionLife is below the 3 minutes that an assertion may live, for clocks that differ.
	assertionLife = 2 * time.Minute
)

// Token is what a login yields. Printed, it shows the org alone.
type Token struct {
	Access   string // the access token
	Instance string // "https://MyDomain.my.salesforce.com"
	Tenant   string // the org's id, 18 characters
}

// String hides the access token.
func (t Token) String() string { return "token of org " + t.Tenant }

// Auth logs in anew with each call. It may be called from any goroutine, and its errors must not carry secrets.
type Auth interface {
	Token(ctx context.Context) (Token, error)
}

// ClientCredentials logs in as the user that a connected app runs its client credentials flow as.
type ClientCredentials struct {
	Domain       string       // "https://MyDomain.my.salesforce.com"; required. http is taken for loopback addresses alone
	ClientID     string       // the app's consumer key; required
	ClientSecret string       // required
	HTTP         *http.Client // nil: http.DefaultClient. Redirects are not followed
}

var _ Auth = ClientCredentials{}

// String hides the secret.
func (c ClientCredentials) String() string { return "client credentials at " + c.Domain }

// Token implements Auth. It takes 30 s at most.
func (c ClientCredentials) Token(ctx context.Context) (Token, error) {
	if err := c.check(); err != nil {
		return Token{}, err
	}
	return login(ctx, c.HTTP, c.Domain, url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {c.ClientID},
		"client_secret": {c.ClientSecret},
	})
}

func (c ClientCredentials) check() error {
	return errors.Join(
		required("ClientCredentials.ClientID", c.ClientID),
		required("ClientCredentials.ClientSecret", c.ClientSecret),
		checkURL("ClientCredentials.Domain", c.Domain),
	)
}

// JWTBearer logs in as a user for whom a connected app is authorized beforehand.
type JWTBearer struct {
	Login    string          // "https://login.salesforce.com", "https://test.salesforce.com"; required. http is taken for loopback addresses alone
	ClientID string          // the app's consumer key; required
	Username string          // required
	Key      *rsa.PrivateKey // of the certificate that the app knows; required
	Audience string          // "": Login
	HTTP     *http.Client    // nil: http.DefaultClient. Redirects are not followed
}

var _ Auth = JWTBearer{}

// String hides the key.
func (j JWTBearer) String() string { return "JWT bearer at " + j.Login }

// Token implements Auth. It takes 30 s at most.
func (j JWTBearer) Token(ctx context.Context) (Token, error) {
	if err := j.check(); err != nil {
		return Token{}, err
	}
	assertion, err := j.assertion(time.Now())
	if err != nil {
		return Token{}, err
	}
	return login(ctx, j.HTTP, j.Login, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion},
	})
}

func (j JWTBearer) check() error {
	var key error
	if j.Key == nil {
		key = errors.New("salesforce: JWTBearer.Key is required")
	}
	return errors.Join(
		required("JWTBearer.ClientID", j.ClientID),
		required("JWTBearer.Username", j.Username),
		key,
		checkURL("JWTBearer.Login", j.Login),
	)
}

// assertion is a token that says who logs in, signed with RS256.
func (j JWTBearer) assertion(now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": j.ClientID, "sub": j.Username, "aud": cmp.Or(j.Audience, j.Login), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("salesforce: write the assertion: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, j.Key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("salesforce: sign the assertion: %w", err)
	}
	return text + "." + encode(signature), nil
}

// answer is what a login is answered with, well or ill.
type answer struct {
	Access      string `json:"access_token"`
	Instance    string `json:"instance_url"`
	ID          string `json:"id"` // https://login.salesforce.com/id/<org>/<user>
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func login(ctx context.Context, client *http.Client, base string, form url.Values) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	target := strings.TrimSuffix(base, "/") + "/services/oauth2/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, fmt.Errorf("salesforce: log in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	direct := *cmp.Or(client, http.DefaultClient)
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { // it would carry the secret to another host
		return http.ErrUseLastResponse
	}
	resp, err := direct.Do(req)
	if err != nil {
		return Token{}, &Error{Op: "log in", err: err}
	}
	defer func() { _ = resp.Body.Close() }() // what was read is all that counts
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Token{}, &Error{Op: "log in", err: err}
	}
	return readAnswer(resp.StatusCode, body)
}

func readAnswer(code int, body []byte) (Token, error) {
	var a answer
	err := json.Unmarshal(body, &a) // its error might quote a token
	if code != http.StatusOK {
		return Token{}, refused(code, a)
	}
	if err != nil {
		return Token{}, &Error{Op: "log in", err: errors.New("the answer isn't JSON")}
	}
	t := Token{Access: a.Access, Instance: strings.TrimSuffix(a.Instance, "/"), Tenant: orgOf(a.ID)}
	return t, t.check()
}

// refused makes an Error of an answer that isn't 200. That of a server that fails may pass by itself.
func refused(code int, a answer) *Error {
	e := &Error{Op: "log in", Code: a.Error, err: fmt.Errorf("HTTP %d %.200s", code, a.Description)}
	switch {
	case code == http.StatusTooManyRequests:
		e.class = slow
	case code < 500:
		e.class = configuration
		e.text = "see that the login's URL, the app's keys and its user are right, and that the app allows this flow"
	}
	return e
}

// orgOf takes the org from the URL of an identity, whose path is /id/<org>/<user>.
func orgOf(id string) string {
	u, err := url.Parse(id)
	if err != nil {
		return ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[len(parts)-2]
}

// check reports what a token lacks, whoever made it.
func (t Token) check() error {
	var missing []string
	if t.Access == "" {
		missing = append(missing, "access token")
	}
	if t.Tenant == "" || strings.ContainsAny(t.Tenant, " \t\r\n") {
		missing = append(missing, "org id")
	}
	if checkURL("", t.Instance) != nil {
		missing = append(missing, "instance's URL")
	}
	if missing == nil {
		return nil
	}
	return &Error{
		Op: "log in", class: configuration,
		err: fmt.Errorf("the answer has no %s", strings.Join(missing, ", no ")),
	}
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("salesforce: %s is required", name)
	}
	return nil
}

// checkURL wants https, a host, and nothing else.
func checkURL(name, value string) error {
	u, err := url.Parse(value)
	switch {
	case value == "":
		return fmt.Errorf("salesforce: %s is required", name)
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf(`salesforce: %s: want a URL such as "https://MyDomain.my.salesforce.com"`, name)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("salesforce: %s: want https, or the secret is readable on its way", name)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
