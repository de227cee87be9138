// Package embedded runs an S3 server inside this process, on loopback, with
// everything in memory: for a demo without a Ceph cluster, and for quick
// tests. It is rclone's gofakes3, which is not RGW: it has no SSE-C, append,
// quota, policy or SigV2.
package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// Config says what Start starts.
type Config struct {
	// Address is the host:port to listen on; it must be a loopback address.
	// Port 0 takes a free one.
	Address string
	// AccessKey and SecretKey are what clients must sign with. Empty ones are
	// made up.
	AccessKey, SecretKey string
	// Buckets are the buckets that are there from the start, with the bytes of
	// their objects by key.
	Buckets map[string]map[string][]byte
}

// DefaultConfig listens on a free port of 127.0.0.1 and has no buckets.
func DefaultConfig() Config { return Config{Address: "127.0.0.1:0"} }

// Validate reports what Start would refuse.
func (c Config) Validate() error {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return fmt.Errorf("address of the embedded server: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address of the embedded server: %q is not a loopback address", host)
	}
	return nil
}

// Server is a running server.
type Server struct {
	URL                  string // such as http://127.0.0.1:45123
	AccessKey, SecretKey string

	http *http.Server
	done chan struct{} // closed when serving has ended
	err  error         // why, if not by Close; written before done is closed
}

// Start starts a server, which serves until Close.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	backend := s3mem.New()
	for _, bucket := range slices.Sorted(maps.Keys(cfg.Buckets)) {
		if err := fill(ctx, backend, bucket, cfg.Buckets[bucket]); err != nil {
			return nil, err
		}
	}
	s := &Server{AccessKey: cfg.AccessKey, SecretKey: cfg.SecretKey, done: make(chan struct{})}
	if s.AccessKey == "" {
		s.AccessKey = rand.Text()[:20]
	}
	if s.SecretKey == "" {
		s.SecretKey = rand.Text() + rand.Text()
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("the embedded server: %w", err)
	}
	s.URL = "http://" + l.Addr().String()
	faker := gofakes3.New(&listing{backend},
		gofakes3.WithV4Auth(map[string]string{s.AccessKey: s.SecretKey}),
		gofakes3.WithMetadataSizeLimit(8<<10)) // what every RGW takes; AWS's 2000 is the default
	s.http = &http.Server{Handler: faker.Server(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	return s, nil
}

func fill(ctx context.Context, backend *s3mem.Backend, bucket string, objects map[string][]byte) error {
	if err := backend.CreateBucket(ctx, bucket); err != nil {
		return fmt.Errorf("bucket %s of the embedded server: %w", bucket, err)
	}
	for key, data := range objects {
		meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
		if _, err := backend.PutObject(ctx, bucket, key, meta, bytes.NewReader(data), int64(len(data))); err != nil {
			return fmt.Errorf("object %s/%q of the embedded server: %w", bucket, key, err)
		}
	}
	return nil
}

// Done is closed when the server has stopped serving.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close stops the server, cuts its connections and forgets what it held. It
// returns why the server stopped before, if it did.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return errors.Join(err, s.err)
}
