// Command backend is the service behind the gateway: it tells what reached it, and can be slow, stream, echo, look sick to a
// gateway, and end well or badly. Environment: PORT (8080), SERVICE (named in answers), START_DELAY (a duration before it listens), ON_SIGTERM:
// drain (default: finish what is open, refuse new connections), close (drop everything at once), serve (go on until killed).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Answer is the body of most answers.
type Answer struct {
	Pod, Service, Method, Host, Path, Proto string
	Headers                                 http.Header
}

func main() {
	if delay, err := time.ParseDuration(os.Getenv("START_DELAY")); err == nil {
		time.Sleep(delay)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", tell)
	mux.HandleFunc("/ready", ready)
	mux.HandleFunc("/refuse", refuse)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/stream", stream)
	mux.HandleFunc("/echo", echo)
	server := &http.Server{Addr: ":" + port, Handler: mux}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		<-stop
		switch os.Getenv("ON_SIGTERM") {
		case "close":
			os.Exit(0)
		case "serve":
		default:
			if err := server.Shutdown(context.Background()); err != nil {
				log.Print(err)
			}
			close(ended)
		}
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}

func tell(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	answer := Answer{
		Pod: os.Getenv("HOSTNAME"), Service: os.Getenv("SERVICE"),
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Proto: r.Proto, Headers: r.Header,
	}
	body, err := json.Marshal(answer)
	if err != nil {
		log.Print(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Server", "backend")
	if _, err := w.Write(body); err != nil {
		log.Print(err)
	}
}

// refuses says whether gateways that ask /ready are sent away; a kubelet never is.
var refuses atomic.Bool

func refuse(w http.ResponseWriter, r *http.Request) {
	refuses.Store(true)
	tell(w, r)
}

func ready(w http.ResponseWriter, r *http.Request) {
	if refuses.Load() && r.UserAgent() == "ingora-health-check" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// slow answers after ?ms= milliseconds.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		tell(w, r)
	case <-r.Context().Done():
	}
}

// stream writes ?count= lines, one each ?ms= milliseconds.
func stream(w http.ResponseWriter, r *http.Request) {
	count, _ := strconv.Atoi(r.URL.Query().Get("count"))
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	for i := range count {
		if _, err := fmt.Fprintf(w, "%d %s\n", i, os.Getenv("HOSTNAME")); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

// echo switches protocols and sends back each line.
func echo(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "want an upgrade", http.StatusUpgradeRequired)
		return
	}
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	for lines := bufio.NewScanner(buffer); lines.Scan(); {
		fmt.Fprintf(conn, "%s %s\n", os.Getenv("HOSTNAME"), lines.Text())
	}
}
