package capture

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/steno-audit/steno"
)

// Keys of AWS's shape, put together here so that no scanner takes them for real ones.
var (
	stenosKey  = AWS{AccessKeyID: "AKIA" + strings.Repeat("S", 16), SecretAccessKey: strings.Repeat("steno", 8), Region: "us-east-1"}
	callersKey = AWS{AccessKeyID: "AKIA" + strings.Repeat("C", 16), SecretAccessKey: strings.Repeat("calls", 8), SessionToken: "temporary" + "-token", Region: "eu-west-1"}
)

// signedFor is an upstream that lets only calls pass that are signed with a key, as AWS works it out: from the documents,
// with nothing of the signer's that steno uses.
func signedFor(t *testing.T, key AWS, answer http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if why := checkSignature(r, body, key); why != "" {
			http.Error(w, why, http.StatusForbidden)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

func checkSignature(r *http.Request, body []byte, key AWS) string {
	var credential, signed, given string
	authorization, _ := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	for part := range strings.SplitSeq(authorization, ", ") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			given = value
		}
	}
	at := r.Header.Get("X-Amz-Date")
	if _, err := time.Parse("20060102T150405Z", at); err != nil {
		return "no date"
	}
	scope := at[:8] + "/" + key.Region + "/bedrock/aws4_request"
	names := strings.Split(signed, ";")
	switch {
	case credential != key.AccessKeyID+"/"+scope:
		return "the credential is " + credential
	case r.Header.Get("X-Amz-Security-Token") != key.SessionToken:
		return "the session token is another"
	case !slices.Contains(names, "host") || !slices.IsSorted(names):
		return "the signed headers are " + signed
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(names, strings.ToLower(name)) {
			return name + " is not signed"
		}
	}
	headers := ""
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		if name == "content-length" {
			value = fmt.Sprint(r.ContentLength)
		}
		headers += name + ":" + value + "\n"
	}
	// The path is escaped once more, segment by segment.
	var path []string
	for segment := range strings.SplitSeq(r.URL.EscapedPath(), "/") {
		path = append(path, strings.ReplaceAll(url.QueryEscape(segment), "+", "%20"))
	}
	sum := sha256.Sum256(body)
	request := sha256.Sum256([]byte(strings.Join([]string{r.Method, strings.Join(path, "/"), r.URL.RawQuery, headers, signed, hex.EncodeToString(sum[:])}, "\n")))
	mac := []byte("AWS4" + key.SecretAccessKey)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+at+"\n"+scope+"\n"+hex.EncodeToString(request[:])) {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	if hex.EncodeToString(mac) != given {
		return "the signature does not match"
	}
	return ""
}

// signedCall is a call signed by the caller, as Amazon's SDKs do.
func signedCall(r *rig, key AWS, host, path, body string, headers ...string) *http.Request {
	req := r.post(path, body, headers...)
	req.Header.Del("Authorization")
	if host != "" {
		req.Host = host
	}
	sum := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}
	if err := v4.NewSigner().SignHTTP(r.t.Context(), keys, req, hex.EncodeToString(sum[:]), "bedrock", key.Region, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	return req
}

const (
	converseRequest = `{"messages":[{"role":"user","content":[{"text":"Who keeps the record?"}]}]}`
	converseAnswer  = `{"metrics":{"latencyMs":361},"output":{"message":{"content":[{"text":"The court reporter."}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":5,"totalTokens":14}}`
	conversePath    = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A012345678901%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse"
)

// answers is an upstream that says the same to all.
func answers(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	})
}

// withBedrock puts one upstream `bedrock` before the rig's server.
func withBedrock(key *AWS) func(*Config) {
	return func(c *Config) {
		c.Upstreams = []*Upstream{{Name: "bedrock", Dialect: "bedrock", URL: c.Upstreams[0].URL, AWS: key}}
	}
}

func TestCallsAreSignedWithStenosKey(t *testing.T) {
	temporary := stenosKey
	temporary.SessionToken = "steno" + "-session"
	for name, c := range map[string]struct {
		key  AWS
		call func(r *rig) *http.Request
	}{
		"a Bedrock API key's place": {stenosKey, func(r *rig) *http.Request { return r.post("/bedrock"+conversePath, converseRequest) }},
		"by path":                   {stenosKey, func(r *rig) *http.Request { return r.post(conversePath, converseRequest) }},
		"signed by the caller": {stenosKey, func(r *rig) *http.Request {
			return signedCall(r, callersKey, "", "/bedrock"+conversePath, converseRequest, "X-Steno-Key", testKey, "X-Amzn-Bedrock-Trace", "ENABLED")
		}},
		"temporary credentials, a colon in the path, a query": {temporary, func(r *rig) *http.Request {
			return r.post("/bedrock/model/amazon.nova-lite-v1:0/converse?a=b", converseRequest)
		}},
		"a body that waits on disk": {stenosKey, func(r *rig) *http.Request {
			return r.post("/bedrock"+conversePath, strings.Replace(converseRequest, "Who", strings.Repeat("Who ", spoolAbove/4+1), 1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, signedFor(t, c.key, answers(converseAnswer)), withBedrock(&c.key))
			resp, body, err := r.do(c.call(r))
			if err != nil || resp.StatusCode != 200 || string(body) != converseAnswer {
				t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			x.ended(t, steno.EndComplete, 200)
			if id := x.events[0].Identity; id.Auth != "key" || id.Key != "k1" {
				t.Errorf("identity %+v", id)
			}
			if m := x.events[0].Model; !m.Understood || !strings.HasSuffix(m.Asked, "amazon.nova-lite-v1:0") {
				t.Errorf("model %+v", m)
			}
		})
	}
}

// hostOf is the host of the rig's upstream, for which a caller signs who wants to pass.
func (r *rig) hostOf() string { return strings.TrimPrefix(r.upstream.URL, "http://") }

func TestTheCallersSignatureHolds(t *testing.T) {
	for name, headers := range map[string][]string{
		"with a steno key beside it": {"X-Steno-Key", testKey},
		"without one":                {"X-Amzn-Bedrock-Guardrailidentifier", "g1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, signedFor(t, callersKey, answers(converseAnswer)), withBedrock(nil))
			req := signedCall(r, callersKey, r.hostOf(), conversePath, converseRequest, headers[2:]...)
			req.Header.Set(headers[0], headers[1]) // after signing
			resp, body, err := r.do(req)
			if err != nil || resp.StatusCode != 200 || string(body) != converseAnswer {
				t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			mac := r.keys.CredentialMAC([]byte(callersKey.AccessKeyID))
			if id := x.events[0].Identity; id.CredentialMAC != mac {
				t.Errorf("the access key's id is recorded as %q", id.CredentialMAC)
			}
			head := x.events[0].Request[0]
			if head.Kind != steno.KindHead || !bytes.Contains(head.Bytes, []byte(mac)) {
				t.Errorf("head: %s", head.Bytes)
			}
			for _, secret := range []string{callersKey.AccessKeyID, callersKey.SessionToken, "Signature="} {
				if bytes.Contains(head.Bytes, []byte(secret)) {
					t.Errorf("%s is on record: %s", secret, head.Bytes)
				}
			}
		})
	}
}

func TestTheCallersSignatureHoldsThroughAProxy(t *testing.T) {
	r := newRig(t, signedFor(t, callersKey, answers(converseAnswer)), withBedrock(nil))
	server, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	req := signedCall(r, callersKey, r.hostOf(), conversePath, converseRequest)
	req.URL.Host = r.hostOf()
	proxied := &http.Transport{Proxy: http.ProxyURL(server)}
	defer proxied.CloseIdleConnections()
	resp, err := proxied.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(body) != converseAnswer || resp.Header.Get("X-Steno-Exchange") == "" {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
	}
}

// Signers write the host as they were given it, and so must who passes it on.
func TestTheHostAsItWasSigned(t *testing.T) {
	r := newRig(t, signedFor(t, callersKey, answers(converseAnswer)), func(c *Config) {
		withBedrock(nil)(c)
		u := *c.Upstreams[0].URL
		u.Host = "localhost:" + u.Port()
		c.Upstreams[0].URL = &u
	})
	host := "LocalHost" + r.hostOf()[strings.LastIndexByte(r.hostOf(), ':'):]
	if resp, body, err := r.do(signedCall(r, callersKey, host, conversePath, converseRequest)); err != nil || resp.StatusCode != 200 {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
	}
}

// Where steno has an API key, nothing of the caller's signature goes on.
func TestASignatureGivesWayToAnAPIKey(t *testing.T) {
	const key = "bedrock-api-key" + "-x"
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+key {
			t.Errorf("the upstream got %q", got)
		}
		for _, name := range callersSignature {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("the upstream got %s: %s", name, v)
			}
		}
		answers(converseAnswer).ServeHTTP(w, r)
	}), func(c *Config) {
		withBedrock(nil)(c)
		c.Upstreams[0].Credential = key
	})
	if resp, body, err := r.do(signedCall(r, callersKey, "", conversePath, converseRequest, "X-Steno-Key", testKey)); err != nil || resp.StatusCode != 200 {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
	}
}

func TestASignatureThatCannotHold(t *testing.T) {
	for name, c := range map[string]struct {
		call func(r *rig) *http.Request
		says string
	}{
		"made for steno's address": {func(r *rig) *http.Request {
			return signedCall(r, callersKey, "", conversePath, converseRequest)
		}, "was made for the host"},
		"made for a path with the upstream's name": {func(r *rig) *http.Request {
			return signedCall(r, callersKey, r.hostOf(), "/bedrock"+conversePath, converseRequest)
		}, "was made for the path"},
		"over a header that stays here": {func(r *rig) *http.Request {
			return signedCall(r, callersKey, r.hostOf(), conversePath, converseRequest, "X-Steno-User", "ana")
		}, "covers the header \"x-steno-user\""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the upstream was called") }), withBedrock(nil))
			resp, body, err := r.do(c.call(r))
			if err != nil || resp.StatusCode != 403 || resp.Header.Get("X-Amzn-Errortype") != "AccessDeniedException" {
				t.Fatalf("status %d, %v, %v", resp.StatusCode, resp.Header, err)
			}
			if !strings.HasPrefix(string(body), `{"message":"`) || !strings.Contains(strings.ReplaceAll(string(body), `\"`, `"`), c.says) || !strings.Contains(string(body), "credential: aws") {
				t.Errorf("it says %s", body)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			x.ended(t, steno.EndRefused, 403)
			if m := x.events[0].Model; !strings.HasSuffix(m.Asked, "us.amazon.nova-lite-v1:0") {
				t.Errorf("on record is the model %q", m.Asked)
			}
		})
	}
}

func TestASignedCallNeedsAStenoKey(t *testing.T) {
	key := stenosKey
	r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the upstream was called") }), withBedrock(&key))
	resp, body, err := r.do(signedCall(r, callersKey, "", conversePath, converseRequest))
	if err != nil || resp.StatusCode != 401 || !strings.Contains(string(body), "x-steno-key") {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	// The id of an access key is no secret, so it opens nothing, though it were a steno key's.
	odd := callersKey
	odd.AccessKeyID = testKey
	if resp, _, _ := r.do(signedCall(r, odd, "", conversePath, converseRequest)); resp.StatusCode != 401 {
		t.Errorf("an access key's id is taken for a steno key: %d", resp.StatusCode)
	}
}

func TestRegion(t *testing.T) {
	for host, want := range map[string]string{
		"bedrock-runtime.us-east-1.amazonaws.com":                      "us-east-1",
		"bedrock-runtime-fips.us-gov-west-1.amazonaws.com":             "us-gov-west-1",
		"bedrock-runtime.cn-north-1.amazonaws.com.cn":                  "cn-north-1",
		"vpce-0a1b.bedrock-runtime.eu-central-1.vpce.amazonaws.com":    "eu-central-1",
		"vpce-0a1b-us-east-1a.bedrock-runtime.us-east-1.vpce.x.com:80": "us-east-1",
		"127.0.0.1:9":                        "",
		"bedrock-runtime.vpce.amazonaws.com": "",
	} {
		u := &Upstream{Name: "bedrock", URL: &url.URL{Scheme: "https", Host: host}, AWS: &AWS{AccessKeyID: "a"}}
		err := u.settleRegion()
		if u.AWS.Region != want || (err == nil) != (want != "") {
			t.Errorf("%s: region %q, %v", host, u.AWS.Region, err)
		}
	}
}

func FuzzSignatureOf(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/bedrock/aws4_request,SignedHeaders=Host,Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=/,=,,")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		s, ok := signatureOf(header)
		if ok != (s.accessKey != "") || ok && (!strings.HasPrefix(header, "AWS4-") || !strings.Contains(header, s.accessKey) || strings.Contains(s.accessKey, "/")) {
			t.Errorf("%q is by %q, %v", header, s.accessKey, ok)
		}
		for _, name := range s.headers {
			if name != strings.ToLower(name) {
				t.Errorf("%q signs %q", header, name)
			}
		}
	})
}
