package disk

import "fmt"

// LockedError says that another process has the directory.
type LockedError struct {
	Dir string
	// PID is the process named in the lock file, 0 where none could be read. A
	// process that has only just taken the lock may not have written itself in.
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}
