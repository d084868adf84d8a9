package maillog_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"reputed/cmd/reputed/internal/maillog"
)

func textHandler(w io.Writer) slog.Handler { return slog.NewTextHandler(maillog.Text(w), nil) }

// streams are the kinds of stderr that can stall.
var streams = map[string]func() (fds [2]int, err error){
	"pipe": func() (fds [2]int, err error) { return fds, syscall.Pipe(fds[:]) },
	"pipe that does not block": func() (fds [2]int, err error) {
		return fds, syscall.Pipe2(fds[:], syscall.O_NONBLOCK)
	},
	"socket, as systemd connects it to journald": func() (fds [2]int, err error) {
		if fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err == nil {
			err = errors.Join(syscall.Shutdown(fds[0], syscall.SHUT_WR), syscall.Shutdown(fds[1], syscall.SHUT_RD))
		}
		return fds, err
	},
	"terminal": func() ([2]int, error) { return openPTY(0) },
}

// openPTY opens a pseudo-terminal, pty(7), and gives its end of a person and its end of a program. What is written goes
// through it as flags of its output say, termios(3).
func openPTY(output uint32) (fds [2]int, err error) {
	const how = syscall.O_RDWR | syscall.O_NOCTTY | syscall.O_CLOEXEC
	if fds[0], err = syscall.Open("/dev/ptmx", how, 0); err != nil {
		return fds, err
	}
	var unlocked, number int32
	var its syscall.Termios
	err = errors.Join(control(fds[0], syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked)),
		control(fds[0], syscall.TIOCGPTN, unsafe.Pointer(&number)))
	if err != nil {
		return fds, err
	}
	if fds[1], err = syscall.Open(fmt.Sprintf("/dev/pts/%d", number), how, 0); err != nil {
		return fds, err
	}
	err = control(fds[1], syscall.TCGETS, unsafe.Pointer(&its))
	its.Oflag = output
	its.Lflag &^= syscall.ECHO
	return fds, errors.Join(err, control(fds[1], syscall.TCSETS, unsafe.Pointer(&its)))
}

func control(fd int, request uintptr, value unsafe.Pointer) error {
	if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(value)); err != 0 {
		return err
	}
	return nil
}

// stream makes one of a kind, and gives the end to read and the end to write.
func stream(t *testing.T, kind string) (from, to *os.File) {
	t.Helper()
	fds, err := streams[kind]()
	if err != nil {
		t.Fatal(err)
	}
	from, to = os.NewFile(uintptr(fds[0]), "from"), os.NewFile(uintptr(fds[1]), "to")
	t.Cleanup(func() { from.Close(); to.Close() })
	return from, to
}

// tolerant is how long writing may take in all to somebody who does not read: a second of patience, and some work on a
// machine that has other work.
const tolerant = 4 * time.Second

var (
	lineOf = regexp.MustCompile(`^time=\S+ level=INFO msg=line n=(\d+) text=x*$`)
	lostOf = regexp.MustCompile(`^time=\S+ level=WARN msg="lines of this log are lost" lost=(\d+) since=(\S+) ` +
		`err="nobody reads it"$`)
)

// A reader that stalls stops nobody, and learns what it has missed: lines of any length.
func TestOutputStalled(t *testing.T) {
	for kind := range streams {
		for _, size := range []int{300, 9000} {
			t.Run(fmt.Sprintf("%s, lines of %d", kind, size), func(t *testing.T) {
				t.Parallel()
				testStalled(t, kind, size)
			})
		}
	}
}

func testStalled(t *testing.T, kind string, size int) {
	from, to := stream(t, kind)
	out := maillog.NewOutput(to, textHandler)
	log := slog.New(textHandler(out))
	n, text, begin := 0, strings.Repeat("x", size), time.Now()
	for ; out.Lost() < 500; n++ {
		log.Info("line", "n", n, "text", text)
	}
	if took := time.Since(begin); took > tolerant {
		t.Errorf("%d lines took %v", n, took)
	}
	const last = "it is read again"
	lines := make(chan []string, 1)
	go func() { lines <- readUntil(from, last) }()
	for end := time.Now().Add(10 * time.Second); !said(log, out, last); { // until the reader has begun
		if time.Now().After(end) {
			t.Fatal("it does not go on")
		}
	}
	told, had := 0, -1
	for i, line := range <-lines {
		if m := lineOf.FindStringSubmatch(line); m != nil {
			if k, _ := strconv.Atoi(m[1]); k != had+1 {
				t.Errorf("line %d comes behind %d", k, had)
			} else {
				had = k
			}
		} else if m := lostOf.FindStringSubmatch(line); m != nil {
			k, _ := strconv.Atoi(m[1])
			since, err := time.Parse(time.RFC3339, m[2])
			if err != nil || since.Before(begin.Truncate(time.Millisecond)) || since.After(time.Now()) {
				t.Errorf("since %s, which began at %v", m[2], begin)
			}
			told += k
		} else if !strings.Contains(line, last) && !strings.Contains(line, "msg=line") { // cut, before the gap
			t.Errorf("line %d: %.100s", i, line)
		}
	}
	if told != int(out.Lost()) {
		t.Errorf("%d are lost, and %d told", out.Lost(), told)
	}
}

// said logs a text, and tells whether it was not lost.
func said(log *slog.Logger, out *maillog.Output, text string) bool {
	before := out.Lost()
	log.Info(text)
	return out.Lost() == before
}

// readUntil reads lines until one has a text.
func readUntil(from io.Reader, last string) (lines []string) {
	for s := bufio.NewReader(from); ; {
		line, err := s.ReadString('\n')
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if err != nil || strings.Contains(line, last) {
			return lines
		}
	}
}

// fill fills a stream that nobody reads, by another way than the one that is tested.
func fill(t *testing.T, to *os.File) {
	t.Helper()
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	raw.Control(func(fd uintptr) {
		syscall.SetNonblock(int(fd), true)
		for err == nil {
			_, err = syscall.Write(int(fd), page)
		}
		syscall.SetNonblock(int(fd), false)
	})
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
}

// A reader that comes back within a second misses nothing.
func TestOutputWaits(t *testing.T) {
	from, to := stream(t, "pipe")
	fill(t, to)
	out := maillog.NewOutput(to, textHandler)
	go io.Copy(io.Discard, from)
	if !said(slog.New(textHandler(out)), out, "x") {
		t.Error("a line is lost")
	}
}

// A terminal that somebody stops with ctrl-S stops nobody, and goes on with ctrl-Q. So with one whose program hangs,
// also where it has room for half of a line's end, of which poll(2) says that it is room.
func TestOutputTerminal(t *testing.T) {
	const ctrlQ, ctrlS = "\x11", "\x13"
	for name, stop := range map[string]string{"stopped": ctrlS, "hanging": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fds, err := openPTY(syscall.OPOST | syscall.ONLCR)
			if err != nil {
				t.Fatal(err)
			}
			person, to := os.NewFile(uintptr(fds[0]), "person"), os.NewFile(uintptr(fds[1]), "to")
			defer to.Close()
			defer person.Close()
			out := maillog.NewOutput(to, textHandler)
			log, begin := slog.New(textHandler(out)), time.Now()
			shown := make(chan string, 1)
			read := func() { shown <- strings.Join(readUntil(person, "it goes on"), "\n") }
			if stop != "" {
				go read()
				io.WriteString(person, stop)
			}
			for n := 0; out.Lost() < 500; n++ {
				log.Info("line", "n", n, "text", strings.Repeat("x", n%7))
			}
			if took := time.Since(begin); took > tolerant {
				t.Errorf("it took %v", took)
			}
			if stop == "" {
				go read()
			} else {
				io.WriteString(person, ctrlQ)
			}
			for end := time.Now().Add(10 * time.Second); !said(log, out, "it goes on"); {
				if time.Now().After(end) {
					t.Fatal("it does not go on")
				}
			}
			if all := <-shown; !strings.Contains(all, `msg="lines of this log are lost" lost=`) {
				t.Errorf("it does not tell that lines are lost: %.2000s", all)
			}
		})
	}
}

// What others write to a terminal is as it was: what is theirs too is not told to be without blocking.
func TestOutputTerminalOfOthers(t *testing.T) {
	_, to := stream(t, "terminal")
	maillog.NewOutput(to, textHandler)
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		flags, _, err := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if err != 0 || flags&syscall.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
	})
}

// A reader that is slow is waited for no longer, in all, than one that has stalled: else each message would wait.
func TestOutputSlowReader(t *testing.T) {
	from, to := stream(t, "pipe")
	fill(t, to)
	out := maillog.NewOutput(to, textHandler)
	log, begin := slog.New(textHandler(out)), time.Now()
	pages := make([]byte, 2*4096) // for the line that tells of others, and for y
	for range 5 {
		if said(log, out, "x") {
			t.Fatal("there was room")
		}
		if _, err := io.ReadFull(from, pages); err != nil {
			t.Fatal(err)
		}
		if !said(log, out, "y") {
			t.Fatal("there was no room")
		}
		fill(t, to)
	}
	if took := time.Since(begin); took < 900*time.Millisecond || took > tolerant {
		t.Errorf("it waited for %v", took)
	}
}

// One that has stalled for long is not waited for again, however long it was; one that has read since then is.
func TestOutputStalledForLong(t *testing.T) {
	from, to := stream(t, "pipe")
	fill(t, to)
	synctest.Test(t, func(t *testing.T) {
		out := maillog.NewOutput(to, textHandler)
		log, pages, begin := slog.New(textHandler(out)), make([]byte, 16*4096), wall()
		for range 10 {
			log.Info("x")
			time.Sleep(time.Minute) // which passes at once
		}
		if took := wall() - begin; took < 900*time.Millisecond || took > tolerant {
			t.Errorf("it waited for %v", took)
		}
		if _, err := io.ReadFull(from, pages); err != nil || !said(log, out, "y") {
			t.Fatalf("there was no room, %v", err)
		}
		n, err := from.Read(pages)
		if err != nil || !strings.Contains(string(pages[:n]), "lost=10 since=2000-01-01T00:00:00") { // as bubbles begin
			t.Errorf("it tells %q, %v", pages[:n], err)
		}
		fill(t, to)
		time.Sleep(time.Minute)
		if begin = wall(); said(log, out, "x") || wall()-begin < 900*time.Millisecond {
			t.Error("it did not wait for a second")
		}
	})
}

// wall gives the time by a clock that a bubble has no hands on.
func wall() time.Duration {
	var now syscall.Timeval
	syscall.Gettimeofday(&now)
	return time.Duration(now.Nano())
}

// Where all readers have gone, there is nothing to wait for.
func TestOutputClosed(t *testing.T) {
	for kind := range streams {
		from, to := stream(t, kind)
		out := maillog.NewOutput(to, textHandler)
		log, begin := slog.New(textHandler(out)), time.Now()
		from.Close()
		for range 100 {
			log.Info("x")
		}
		if took := time.Since(begin); out.Lost() != 100 || took > time.Second/2 {
			t.Errorf("%s: %d of 100 are lost, in %v", kind, out.Lost(), took)
		}
	}
}

// full fails while it has to, after some octets.
type full struct {
	strings.Builder
	room int // -1: enough
}

func (f *full) Write(p []byte) (int, error) {
	if f.room < 0 {
		return f.Builder.Write(p)
	}
	n := min(f.room, len(p))
	f.Builder.Write(p[:n])
	f.room -= n
	return n, syscall.ENOSPC
}

// What a full disk loses is counted and told too. The line that it cut is not continued.
func TestOutputFull(t *testing.T) {
	disk := &full{room: 10}
	out := maillog.NewOutput(disk, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, &timeless) })
	log := slog.New(slog.NewTextHandler(out, &timeless))
	log.Info("one")
	log.Info("two")
	disk.room = -1
	log.Info("three")
	got := regexp.MustCompile(`since=\S+`).ReplaceAllString(disk.String(), "since=T")
	const told = `level=WARN msg="lines of this log are lost" lost=2 since=T err="no space left on device"`
	want := "level=INFO\n" + told + "\nlevel=INFO msg=three\n"
	if got != want || out.Lost() != 2 {
		t.Errorf("%d are lost\n%s", out.Lost(), got)
	}
}

// A file is written to as it is, and so is a pipe that is read, without taking memory.
func TestOutputAllocations(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	from, pipe := stream(t, "pipe")
	go io.Copy(io.Discard, from)
	line := []byte(strings.Repeat("x", 6000) + "\n")
	for _, to := range []*os.File{file, pipe} {
		out := maillog.NewOutput(to, textHandler)
		if n := testing.AllocsPerRun(100, func() { out.Write(line) }); n != 0 || out.Lost() != 0 {
			t.Errorf("%s: %v allocations, %d lost", to.Name(), n, out.Lost())
		}
	}
}
