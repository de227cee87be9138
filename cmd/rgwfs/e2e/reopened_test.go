package e2e

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"rgwfs/s3backend/s3test"
)

// A reader in the middle of a file that is replaced on the server, while others
// open the new generation on the same mount: what these bring into the kernel's page cache is not for the old reader.
func TestReplacedAndOpenedAgain(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	// Nothing is believed for longer, so the new generation is seen at once.
	m := newMount(t, s, "--metadata-ttl", "0s", "--negative-ttl", "0s")
	for _, size := range replacements {
		g := newGenerations(t, size.old, size.new)
		name := fmt.Sprintf("%d-%d", size.old, size.new)
		t.Run(name, func(t *testing.T) {
			s.put(t, name, g.old)
			before, err := os.Open(m.path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer before.Close()
			g.readOld(t, before, 0, size.old/3)
			s.put(t, name, g.new)
			got, err := os.ReadFile(m.path(name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, g.new) {
				t.Errorf("who opens the file after it was replaced reads %d bytes, the new ones: %v; the old ones: %v",
					len(got), g.isNew(got, 0), g.isOld(got, 0))
			}
			g.readOld(t, before, size.old/3, size.old)
			g.readOld(t, before, 0, size.old)
			if err := s.store.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		})
	}
	m.unmount()
}
