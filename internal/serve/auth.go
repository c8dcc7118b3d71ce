package serve

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed" // the login page
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net"
	"net/http"
	"strings"
)

const sessionCookie = "steno_session"

// door knows the console's token.
type door struct {
	r       *Reader
	token   [32]byte // hash of the token
	session string   // what the cookie holds: it opens the console, and says nothing of the token
}

func newDoor(r *Reader, token string) *door {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte("steno/1 console session"))
	return &door{r: r, token: sha256.Sum256([]byte(token)), session: hex.EncodeToString(m.Sum(nil))}
}

func (d *door) isToken(s string) bool {
	h := sha256.Sum256([]byte(s))
	return subtle.ConstantTimeCompare(h[:], d.token[:]) == 1
}

// authorize says whether the request carries the token or a session, and why not.
func (d *door) authorize(r *http.Request) (ok bool, reason string) {
	if v := r.Header.Get("Authorization"); v != "" {
		scheme, token, _ := strings.Cut(v, " ")
		if strings.EqualFold(scheme, "bearer") && d.isToken(strings.TrimSpace(token)) {
			return true, ""
		}
		return false, "wrong_token"
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		if subtle.ConstantTimeCompare([]byte(c.Value), []byte(d.session)) == 1 {
			return true, ""
		}
		return false, "wrong_session"
	}
	return false, "no_token"
}

// actorOf says who reads. There is one token, so whoever has it is the console's operator; the address tells more.
func actorOf(r *http.Request, via string) Actor {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	agent := r.UserAgent()
	if strings.HasPrefix(agent, "steno/") {
		via = "cli"
	}
	return Actor{Name: "console", Via: via, Address: host, UserAgent: bounded(agent)}
}

func bounded(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most]
	}
	return s
}

// ActorOf says who reads, for the console's pages.
func ActorOf(r *http.Request) Actor { return actorOf(r, "console") }

// login trades the token for a session cookie.
func (d *door) login(w http.ResponseWriter, r *http.Request) {
	token, next := r.URL.Query().Get("token"), r.URL.Query().Get("next")
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		if err := r.ParseForm(); err != nil {
			writeError(w, &Error{Status: http.StatusBadRequest, Message: "the form could not be read: " + err.Error()})
			return
		}
		token, next = r.PostForm.Get("token"), r.PostForm.Get("next")
	}
	if !localPath(next) {
		next = "/"
	}
	if token == "" {
		d.page(w, http.StatusOK, loginPage{Next: next})
		return
	}
	if !d.isToken(strings.TrimSpace(token)) {
		d.refused(r, "wrong_token")
		d.page(w, http.StatusUnauthorized, loginPage{Next: next, Wrong: true})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: d.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// localPath says whether a redirect to s stays on this server.
func localPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "\\\r\n")
}

// refused records a failed login. A request that carries nothing at all is someone who has not logged in yet: a page for
// them, no record.
func (d *door) refused(r *http.Request, reason string) {
	_ = d.r.audit.failed(r.Context(), actorOf(r, "console"), reason) // the answer is no either way; the log says itself when it fails
}

type loginPage struct {
	Next  string
	Wrong bool
	Style template.CSS
}

//go:embed login.html
var loginHTML string

const loginStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;color:#1b1f24;background:#fff}` +
	`code,input{font:14px/1.5 ui-monospace,monospace}input{width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 .75rem;border:1px solid #8a929c;border-radius:4px}` +
	`button{font:inherit;padding:.4rem 1.2rem}.no{color:#a4161a}@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}input{background:#1d2125;color:inherit}.no{color:#ff8a8a}}`

var (
	loginTemplate = template.Must(template.New("login").Parse(loginHTML))
	loginPolicy   = func() string {
		h := sha256.Sum256([]byte(loginStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	}()
)

func (d *door) page(w http.ResponseWriter, status int, p loginPage) {
	p.Style = template.CSS(loginStyle) //nolint:gosec // our own constant
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", loginPolicy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = loginTemplate.Execute(w, p) // the client left
}
