package embedded_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"rgwfs/s3backend/s3test/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStartServesUntilClose(t *testing.T) {
	cfg := embedded.DefaultConfig()
	cfg.Buckets = map[string]map[string][]byte{"demo": {"hello.txt": []byte("hello")}}
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.AccessKey == "" || s.SecretKey == "" {
		t.Error("no keys were made up")
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/demo/hello.txt", nil)
		if err != nil {
			return 0, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	if status, err := get(t.Context()); err != nil || status != http.StatusForbidden {
		t.Errorf("unsigned request: status %d, %v; want 403", status, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Close")
	}
	if status, err := get(t.Context()); err == nil {
		t.Errorf("after Close there is still an answer: status %d", status)
	}
}

func TestStartRefusesOtherThanLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "localhost", ""} {
		s, err := embedded.Start(t.Context(), embedded.Config{Address: address})
		if err == nil {
			t.Errorf("address %q was accepted", address)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
