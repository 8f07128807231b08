package salesforcetest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// maxAssertion is how far ahead an assertion may end.
const maxAssertion = 3 * time.Minute

// checkJWT verifies the assertion of a login.
func (s *Server) checkJWT(assertion string, now time.Time) error {
	if s.opts.JWTKey == nil {
		return errors.New("this org has no certificate")
	}
	signed, signature, ok := cutLast(assertion, ".")
	head, claims, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 {
		return errors.New("invalid assertion")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := part(head, &header); err != nil || header.Alg != "RS256" {
		return errors.New("invalid assertion: want RS256")
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	sum := sha256.Sum256([]byte(signed))
	if err != nil || rsa.VerifyPKCS1v15(s.opts.JWTKey, crypto.SHA256, sum[:], sig) != nil {
		return errors.New("invalid assertion: signature")
	}
	return s.checkClaims(claims, now)
}

func (s *Server) checkClaims(text string, now time.Time) error {
	var claims struct {
		Iss, Sub, Aud string
		Exp           int64
	}
	if err := part(text, &claims); err != nil {
		return errors.New("invalid assertion: claims")
	}
	switch {
	case claims.Iss != ClientID:
		return errors.New("invalid assertion: iss")
	case claims.Sub != s.opts.Username:
		return errors.New("user hasn't approved this consumer")
	case claims.Aud != s.LoginURL() && claims.Aud != "https://login.salesforce.com" && claims.Aud != "https://test.salesforce.com":
		return errors.New("audience is invalid")
	case claims.Exp <= now.Unix() || claims.Exp > now.Add(maxAssertion).Unix():
		return errors.New("expired authorization code")
	}
	return nil
}

// part reads one of the parts of a JWT.
func part(text string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
