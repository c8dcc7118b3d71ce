package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// datasync leaves out the times of the file, which nobody needs after a crash;
// the size and the place of the bytes are included.
func datasync(f *os.File) error {
	return control(f, "fdatasync", unix.Fdatasync)
}

func punch(f *os.File, off, n int64) error {
	err := control(f, "fallocate", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return zero(f, off, n)
	}
	return err
}

// control runs a system call on the file, which cannot be closed meanwhile.
func control(f *os.File, name string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: err}
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		// An interrupted call reports nothing about the bytes and is repeated.
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = call(int(fd))
		}
	})
	if err != nil {
		failed = os.ErrClosed // the one reason why there is no descriptor
	}
	if failed != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: failed}
	}
	return nil
}

// Type names the file system that holds dir, such as ext4 or tmpfs. One that is
// not known by name is its magic number in hexadecimal.
func Type(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	switch magic := uint32(s.Type); magic {
	case unix.TMPFS_MAGIC:
		return "tmpfs", nil
	case unix.RAMFS_MAGIC:
		return "ramfs", nil
	case unix.EXT4_SUPER_MAGIC: // ext2 and ext3 have the same number
		return "ext4", nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", nil
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs", nil
	case 0x2fc12fc1:
		return "zfs", nil
	case 0xca451a4e:
		return "bcachefs", nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", nil
	case unix.FUSE_SUPER_MAGIC: // virtiofs too
		return "fuse", nil
	case unix.NFS_SUPER_MAGIC:
		return "nfs", nil
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "smb", nil
	case unix.V9FS_MAGIC:
		return "9p", nil
	default:
		return fmt.Sprintf("0x%x", magic), nil
	}
}
