package hunt

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindsWhatIsPlanted(t *testing.T) {
	if err := Check(t.TempDir(), []Canary{New("prompt"), NewPlain("user")}); err != nil {
		t.Fatal(err)
	}
}

func TestFindsNothingWhereNothingIs(t *testing.T) {
	dir := t.TempDir()
	other := New("other")
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(other.Word), 0o600); err != nil {
		t.Fatal(err)
	}
	hits, looked, err := Files([]Canary{New("prompt")}, dir)
	if err != nil || len(hits) != 0 || looked != 1 {
		t.Errorf("hits %v, files %d, error %v", hits, looked, err)
	}
}
