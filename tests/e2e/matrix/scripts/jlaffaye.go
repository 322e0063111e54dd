// Go's jlaffaye/ftp: it resumes sessions when its tls.Config has a ClientSessionCache.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dial(options ...ftp.DialOption) *ftp.ServerConn {
	authority, err := os.ReadFile(os.Getenv("FTP_CA"))
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	config := &tls.Config{
		RootCAs:            pool,
		ServerName:         os.Getenv("FTP_HOST"),
		ClientSessionCache: tls.NewLRUClientSessionCache(32),
	}
	if os.Getenv("FTP_MODE") == "implicit" {
		options = append(options, ftp.DialWithTLS(config))
	} else {
		options = append(options, ftp.DialWithExplicitTLS(config))
	}
	options = append(options, ftp.DialWithTimeout(30*time.Second))
	connection, err := ftp.Dial(net.JoinHostPort(os.Getenv("FTP_HOST"), os.Getenv("FTP_PORT")), options...)
	must(err)
	must(connection.Login(os.Getenv("FTP_USER"), os.Getenv("FTP_PASSWORD")))
	return connection
}

func get(connection *ftp.ServerConn, remote string, local string, offset uint64) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	target, err := os.OpenFile(local, flags, 0o600)
	must(err)
	response, err := connection.RetrFrom(remote, offset)
	must(err)
	_, err = io.Copy(target, response)
	must(err)
	must(response.Close())
	must(target.Close())
}

func put(connection *ftp.ServerConn, local string, remote string, offset uint64) {
	source, err := os.Open(local)
	must(err)
	_, err = source.Seek(int64(offset), io.SeekStart)
	must(err)
	must(connection.StorFrom(remote, source, offset))
	must(source.Close())
}

func list(connection *ftp.ServerConn) {
	entries, err := connection.List("")
	must(err)
	for _, entry := range entries {
		fmt.Println(entry.Name)
	}
}

func main() {
	file, err := os.Open("job.tsv")
	must(err)
	var lines [][]string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		lines = append(lines, strings.Split(scanner.Text(), "\t"))
	}
	plain := len(lines) > 0 && lines[0][0] == "list"
	connection := dial(ftp.DialWithDisabledMLSD(plain))
	for _, words := range lines {
		switch words[0] {
		case "mkdir":
			must(connection.MakeDir(words[1]))
		case "put":
			put(connection, words[1], words[2], 0)
		case "get":
			get(connection, words[1], words[2], 0)
		case "reput":
			size, err := connection.FileSize(words[2])
			must(err)
			put(connection, words[1], words[2], uint64(size))
		case "reget":
			state, err := os.Stat(words[2])
			must(err)
			get(connection, words[1], words[2], uint64(state.Size()))
		case "list", "mlsd":
			list(connection)
		case "nlst":
			names, err := connection.NameList("")
			must(err)
			fmt.Println(strings.Join(names, "\n"))
		case "size":
			size, err := connection.FileSize(words[1])
			must(err)
			fmt.Println(size)
		case "time":
			stamp, err := connection.GetTime(words[1])
			must(err)
			fmt.Println(stamp.Unix())
		case "rename":
			must(connection.Rename(words[1], words[2]))
		case "delete":
			must(connection.Delete(words[1]))
		default:
			must(fmt.Errorf("no %s", words[0]))
		}
	}
	must(connection.Quit())
}
