package embedded

import (
	"fmt"
	"os"
	"strings"
)

// logFileBytes is the size at which a log file becomes the previous one.
const logFileBytes = 4 << 20

// logFile is a file that never grows without end: at a limit it takes the name
// of the previous one, which is lost.
type logFile struct {
	path  string
	limit int64
	file  *os.File
	size  int64
}

func openLogFile(path string, limit int64) (*logFile, error) {
	l := &logFile{path: path, limit: limit}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// Write never fails: a full disk must cost log lines, not the process that
// writes them.
func (l *logFile) Write(p []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(p)) > l.limit {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// Close closes the file.
func (l *logFile) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the engine's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open the engine's log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

func (l *logFile) rotate() {
	_ = l.Close()
	l.file, l.size = nil, 0
	if os.Rename(l.path, l.path+".previous") == nil {
		_ = l.open()
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	text []byte
}

// tailBytes is how much of a program's last words is kept.
const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if surplus := len(t.text) - tailBytes; surplus > 0 {
		t.text = append(t.text[:0], t.text[surplus:]...)
	}
	return len(p), nil
}

// lines returns at most the last n lines that say something: addresses of stack
// frames, such as "3. ? @ 0x000000000f20e4b5", would push the message out.
func (t *tail) lines(n int) string {
	var lines []string
	for line := range strings.Lines(string(t.text)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.Contains(line, " @ 0x") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
