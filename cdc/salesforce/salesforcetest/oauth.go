package salesforcetest

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxTokens = 1000    // one more ends the one that ends first
	maxForm   = 1 << 16 // bytes of a login
)

// oauth handles logins.
func (s *Server) oauth() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /services/oauth2/token", s.token)
	mux.HandleFunc("GET /services/oauth2/userinfo", s.userinfo)
	return mux
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		loginError(w, "invalid_request", "malformed form")
		return
	}
	var code, description string
	switch grant := r.PostForm.Get("grant_type"); grant {
	case "client_credentials":
		if !same(r.PostForm.Get("client_id"), ClientID) || !same(r.PostForm.Get("client_secret"), ClientSecret) {
			code, description = "invalid_client", "invalid client credentials"
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if err := s.checkJWT(r.PostForm.Get("assertion"), time.Now()); err != nil {
			code, description = "invalid_grant", err.Error()
		}
	default:
		code, description = "unsupported_grant_type", "grant type not supported"
	}
	if code != "" {
		loginError(w, code, description)
		return
	}
	access, ok := s.grant(time.Now())
	if !ok {
		loginError(w, "invalid_grant", "authentication failure")
		return
	}
	reply(w, http.StatusOK, map[string]string{
		"access_token": access,
		"instance_url": s.LoginURL(),
		"id":           s.LoginURL() + "/id/" + s.opts.Org + "/" + DefaultUser,
		"token_type":   "Bearer",
		"issued_at":    strconv.FormatInt(time.Now().UnixMilli(), 10),
		"scope":        "api",
		"signature":    randomHex(32),
	})
}

// grant makes a token, unless logins are refused.
func (s *Server) grant(now time.Time) (access string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		return "", false
	}
	if len(s.tokens) >= maxTokens {
		first := ""
		for token, ends := range s.tokens {
			if first == "" || ends.Before(s.tokens[first]) {
				first = token
			}
		}
		delete(s.tokens, first)
	}
	access = s.opts.Org + "!" + randomHex(32)
	s.tokens[access] = now.Add(s.opts.TokenLife)
	s.logins++
	return access, true
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	ends, ok := s.tokens[access]
	s.mu.Unlock()
	if !ok || !time.Now().Before(ends) {
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token", "error_description": "expired or unknown token"})
		return
	}
	reply(w, http.StatusOK, map[string]string{
		"organization_id": s.opts.Org, "user_id": DefaultUser, "preferred_username": s.opts.Username,
	})
}

func loginError(w http.ResponseWriter, code, description string) {
	reply(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}

func reply(w http.ResponseWriter, status int, answer map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who hung up gets no answer
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
