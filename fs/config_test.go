package fs

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(c *Config){
		"file mode":   func(c *Config) { c.FileMode = 0o100644 },
		"umask":       func(c *Config) { c.Umask = 0o10000 },
		"allow_other": func(c *Config) { c.AllowOther, c.AllowRoot = true, true },
		"TTL":         func(c *Config) { c.NegativeTTL = -time.Second },
		"readahead":   func(c *Config) { c.ReadAhead = -1 },
		"logger":      func(c *Config) { c.Logger = nil },
		"one option":  func(c *Config) { c.Options = []string{"noexec", "a,suid"} },
		"be shown":    func(c *Config) { c.FsName = "a\nb" },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSplitFlags(t *testing.T) {
	rest, flags := splitFlags([]string{"default_permissions", "noatime", "ro", "noexec", "atime", "dirsync"}, syscall.MS_NOSUID)
	if !slices.Equal(rest, []string{"default_permissions", "noexec"}) || flags != syscall.MS_NOSUID|syscall.MS_RDONLY|syscall.MS_DIRSYNC {
		t.Errorf("%q, %#x", rest, flags)
	}
}
