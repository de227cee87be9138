package fs_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// TestFaultsOnRGW has requests to a real gateway go wrong once, in the ways that
// networks and gateways have. They are tried again: the program must not notice.
// RGWFS_TEST_STEPS, if set, has requests of every scene go wrong in every way;
// else the ways take turns.
func TestFaultsOnRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	gate := s3test.NewGate()
	defer gate.Open()
	ways := []struct {
		name string
		do   s3test.Effect
	}{
		{"500", s3test.Status(500, "InternalError")},
		{"503", s3test.Status(503, "SlowDown")},
		{"reset", s3test.Reset()},
		{"answer lost", s3test.LoseAnswer()},
		{"answer cut", s3test.BreakBody(20, s3backend.KindUnavailable)},
		{"answer stalled", s3test.StallBody(20, gate)},
	}
	transport := s3test.NewTransport()
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint = rgw.HTTP
	cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
	direct, err := s3backend.New(t.Context(), cfg)
	check(t, err)
	t.Cleanup(direct.Close)
	cfg.WrapTransport, cfg.StallTimeout, cfg.ServerTimeout = transport.Wrap, time.Second, 5*time.Second
	client, err := s3backend.New(t.Context(), cfg)
	check(t, err)
	t.Cleanup(client.Close)

	scenes := scenes(s3backend.MinPartSize)
	turn := 0
	names := []string{"change large", "save", "rename directory", "unlink", "mkdir"}
	if os.Getenv("RGWFS_TEST_STEPS") != "" {
		names = slices.Sorted(maps.Keys(scenes))
	}
	for _, name := range names {
		sc := scenes[name]
		play := func(t *testing.T, rules ...s3test.Rule) map[string]int {
			bucket := rgw.NewBucket()
			store := direct.Bucket(bucket)
			sc.set(t, store)
			m := fstest.Mount(t, client.Bucket(bucket), smallParts(s3backend.MinPartSize, time.Minute))
			transport.ResetRequests()
			transport.Add(rules...)
			err := sc.act(m)
			transport.Clear()
			counts := transport.Requests()
			if err != nil {
				t.Errorf("one request went wrong, and the program is told: %v", err)
			}
			sc.checkObjects(t, store, nil)
			sc.checkView(t, store, m)
			m.Unmount()
			// An upload that was begun by a request whose answer was lost has
			// an id that nobody knows.
			uploads, err := store.ListMultiparts(context.Background(), "")
			check(t, err)
			if len(uploads) > 0 && rules[0].Op != s3test.OpCreateMultipart {
				t.Errorf("uploads left: %v", uploads)
			}
			return counts
		}
		t.Run(name, func(t *testing.T) {
			counts := play(t)
			for _, op := range slices.Sorted(maps.Keys(counts)) {
				for i, way := range ways {
					if os.Getenv("RGWFS_TEST_STEPS") == "" && i != turn%len(ways) {
						continue
					}
					t.Run(fmt.Sprintf("%s %s", op, way.name), func(t *testing.T) {
						play(t, s3test.Rule{Op: op, Skip: turn % counts[op], Times: 1, Do: []s3test.Effect{way.do}})
					})
				}
				turn++
			}
		})
	}
}
