// The same service on Go's net/http: a map, each step locked by itself.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

type told struct {
	Effects int     `json:"effects"`
	Stamps  []int64 `json:"stamps"`
}

var (
	lock   sync.Mutex
	bursts = map[string]*told{}
)

// monotonic is CLOCK_MONOTONIC, which is one clock for all processes of a machine.
func monotonic() int64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return at.Nano()
}

func of(id string) *told {
	if bursts[id] == nil {
		bursts[id] = &told{Stamps: []int64{}}
	}
	return bursts[id]
}

func order(answer http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	at := monotonic()
	mac := hmac.New(sha256.New, []byte("bench"))
	mac.Write(body)
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(request.Header.Get("X-Signature"))) {
		http.Error(answer, "signature", 401)
		return
	}
	var asked struct {
		ID string `json:"id"`
	}
	json.Unmarshal(body, &asked)
	lock.Lock()
	known := of(asked.ID).Effects > 0
	lock.Unlock()
	runtime.Gosched() // as any call to a database or a log would
	if !known {
		lock.Lock()
		of(asked.ID).Effects++
		lock.Unlock()
	}
	lock.Lock()
	of(asked.ID).Stamps = append(of(asked.ID).Stamps, at)
	lock.Unlock()
	answer.Write([]byte(`{"status":"ok"}`))
}

func burst(answer http.ResponseWriter, request *http.Request) {
	lock.Lock()
	defer lock.Unlock()
	json.NewEncoder(answer).Encode(of(request.URL.Query().Get("id")))
}

func main() {
	http.HandleFunc("/order", order)
	http.HandleFunc("/burst", burst)
	panic(http.ListenAndServeTLS("127.0.0.1:"+os.Args[1], os.Args[2], os.Args[3], nil))
}
