package s3test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRGWServesOverTLS(t *testing.T) {
	s := RGW(t)
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", s.CAFile)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, endpoint := range []string{s.HTTPS, strings.Replace(s.HTTPS, "127.0.0.1", "localhost", 1)} {
		resp, err := client.Get(endpoint)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", endpoint, resp.Status)
		}
	}
}

func TestRGWUsers(t *testing.T) {
	s := RGW(t)
	var users []string
	if err := json.Unmarshal(s.Admin("user", "list"), &users); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"rgwfs", "other", "limited"} {
		if !slices.Contains(users, u) {
			t.Errorf("no user %s in %q", u, users)
		}
	}
	var limited struct {
		Quota struct {
			Enabled bool  `json:"enabled"`
			MaxSize int64 `json:"max_size"`
		} `json:"user_quota"`
	}
	if err := json.Unmarshal(s.Admin("user", "info", "--uid=limited"), &limited); err != nil {
		t.Fatal(err)
	}
	if q := limited.Quota; !q.Enabled || q.MaxSize != 16<<20 {
		t.Errorf("quota of limited: %+v", q)
	}
}

func TestNewBucketName(t *testing.T) {
	legal := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	for _, name := range []string{"x", "Ünï_cödé / ..", strings.Repeat("long-", 30)} {
		t.Run(name, func(t *testing.T) {
			s := &RGWServer{t: t}
			a, b := s.NewBucketName(), s.NewBucketName()
			if a == b {
				t.Errorf("%q twice", a)
			}
			if !legal.MatchString(a) {
				t.Errorf("%q is no legal bucket name", a)
			}
		})
	}
}

// A bucket is made and, at the end of its test, removed with what is in it.
func TestNewBucketIsRemoved(t *testing.T) {
	s := RGW(t)
	var bucket string
	t.Run("inner", func(t *testing.T) {
		inner := RGW(t)
		bucket = inner.NewBucket()
		for _, r := range []Response{
			inner.Do(http.MethodPut, "/"+bucket+"/a/b", "", nil, []byte("x")),
			inner.Do(http.MethodPost, "/"+bucket+"/unfinished", "uploads", nil, nil),
			inner.Do(http.MethodHead, "/"+bucket, "", nil, nil),
		} {
			if r.Status != http.StatusOK {
				t.Error(r)
			}
		}
		gone := inner.NewBucketName()
		inner.RemoveBucketLater(gone)
	})
	if r := s.Do(http.MethodHead, "/"+bucket, "", nil, nil); r.Status != http.StatusNotFound {
		t.Errorf("bucket after its test: %s", r)
	}
}

func TestStartRGWKillAndStart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a gateway of its own")
	}
	s := StartRGW(t, "rgw_max_put_size=1000")
	bucket := s.NewBucket()
	if r := s.Do(http.MethodPut, "/"+bucket+"/k", "", nil, []byte("kept")); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	if r := s.Do(http.MethodPut, "/"+bucket+"/big", "", nil, make([]byte, 1001)); r.Status != http.StatusBadRequest {
		t.Errorf("1001 bytes with rgw_max_put_size=1000: %s", r)
	}
	s.Kill()
	if resp, err := s.client.Get(s.HTTP); err == nil {
		resp.Body.Close()
		t.Errorf("a killed radosgw answers: %s", resp.Status)
	}
	s.Start()
	if r := s.Do(http.MethodGet, "/"+bucket+"/k", "", nil, nil); string(r.Body) != "kept" {
		t.Errorf("after the restart: %s", r)
	}
	got := Tally(s.Requests(bucket))
	if got[OpGet] != 1 || got[OpPut] < 1 {
		t.Errorf("logged %v, want one GET after the restart and PUTs before", got)
	}
}
