package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AWS is what steno signs calls to Amazon Bedrock with.
type AWS struct {
	AccessKeyID, SecretAccessKey string
	SessionToken                 string // of temporary credentials
	Region                       string // "" = the one in the upstream's host
}

// service is what a signature for Bedrock's runtime is good for.
const service = "bedrock"

// settleRegion finds the region that signatures for the upstream name.
func (u *Upstream) settleRegion() error {
	if u.AWS == nil || u.AWS.Region != "" {
		return nil
	}
	// bedrock-runtime.REGION.amazonaws.com, and the same behind the name of a VPC endpoint
	labels := strings.Split(strings.ToLower(u.URL.Hostname()), ".")
	i := slices.IndexFunc(labels, func(s string) bool { return strings.HasPrefix(s, "bedrock-runtime") })
	if i < 0 || len(labels) < i+3 || !strings.Contains(labels[i+1], "-") {
		return fmt.Errorf("upstream %s: the host %s does not say its AWS region; give credential: {aws: {region: …}}", u.Name, u.URL.Hostname())
	}
	a := *u.AWS
	a.Region = labels[i+1]
	u.AWS = &a
	return nil
}

// A signature is what a call signed with AWS Signature Version 4 says of it. The access key's id names the caller; it
// is no secret, but is recorded as a keyed hash like any credential.
type signature struct {
	accessKey string
	headers   []string // that are signed, in lower case
}

// signatureOf reads the Authorization header of a signed call:
// AWS4-HMAC-SHA256 Credential=KEY/date/region/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=….
func signatureOf(authorization string) (s signature, ok bool) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	if !strings.HasPrefix(scheme, "AWS4-") {
		return s, false
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			s.accessKey, _, _ = strings.Cut(value, "/")
		case "SignedHeaders":
			s.headers = strings.Split(strings.ToLower(value), ";")
		}
	}
	return s, s.accessKey != ""
}

// brokenSignature says why the caller's own signature cannot hold at the upstream, "" if it can or none is passed on. It
// covers the host, the path and some headers, so it holds only if the caller signed for the upstream itself.
func (x *exchange) brokenSignature() string {
	if !x.who.forward || !x.who.credential.signed {
		return ""
	}
	s, _ := signatureOf(x.r.Header.Get("Authorization"))
	why := ""
	target, err := url.Parse(x.up.target(x.path, x.r.URL.RawQuery))
	out := outboundHeaders(x.r.Header, x.up, x.who, x.path)
	changed := slices.IndexFunc(s.headers, func(name string) bool {
		return name != "host" && strings.Join(out.Values(name), ",") != strings.Join(x.r.Header.Values(name), ",")
	})
	switch {
	case !sameHost(x.r.Host, x.up.URL):
		why = fmt.Sprintf("was made for the host %q, and the upstream is %q", x.r.Host, x.up.URL.Host)
	case err != nil || target.EscapedPath() != x.r.URL.EscapedPath():
		why = fmt.Sprintf("was made for the path %q, and the upstream's is another", x.r.URL.EscapedPath())
	case changed >= 0:
		why = fmt.Sprintf("covers the header %q, which is not passed on", s.headers[changed])
	default:
		return ""
	}
	return "the call's AWS signature " + why + ", so it would not hold there; give steno AWS credentials to sign with (gateway.upstreams." +
		x.up.Name + ".credential: aws), or call the upstream's own host through steno"
}

// sameHost compares a Host header with an address. Signers leave out the port that a scheme has anyway.
func sameHost(host string, u *url.URL) bool {
	return strings.EqualFold(withoutPort(host, u.Scheme), withoutPort(u.Host, u.Scheme))
}

func withoutPort(host, scheme string) string {
	return strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[scheme])
}

// callersSignature are the headers that belong to a signature which is not passed on.
var callersSignature = []string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}

// sign signs a call with the upstream's credentials. Only what AWS demands is signed: a proxy between may add headers.
func (u *Upstream) sign(out *http.Request, body io.Reader, at time.Time) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return fmt.Errorf("couldn't read the body to sign it: %w", err)
	}
	bare := &http.Request{Method: out.Method, URL: out.URL, Host: out.Host, Header: http.Header{}}
	for name, values := range out.Header {
		if strings.HasPrefix(name, "X-Amz") || name == "Content-Type" {
			bare.Header[name] = values
		}
	}
	keys := aws.Credentials{AccessKeyID: u.AWS.AccessKeyID, SecretAccessKey: u.AWS.SecretAccessKey, SessionToken: u.AWS.SessionToken}
	err := v4.NewSigner().SignHTTP(out.Context(), keys, bare, hex.EncodeToString(sum.Sum(nil)), service, u.AWS.Region, at)
	if err != nil {
		return fmt.Errorf("couldn't sign the call to upstream %s: %w", u.Name, err)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if v := bare.Header[name]; len(v) > 0 {
			out.Header[name] = v
		}
	}
	return nil
}
