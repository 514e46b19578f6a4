package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Cause says why a request got no answer, for an error of net/http. It returns "" for nil.
func Cause(err error) string {
	var wrapped *url.Error // its text repeats the address, with its query
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	for _, explain := range []func(error) string{ofContext, ofName, ofTLS, ofConnection, ofProtocol} {
		if err == nil {
			return ""
		}
		if text := explain(err); text != "" {
			return text
		}
	}
	var operation *net.OpError // its text is that of a system call, with the addresses of both ends
	if errors.As(err, &operation) && operation.Err != nil {
		err = operation.Err
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "net/http: "), "http: ")
	return OneLine(text, maxShown)
}

func ofContext(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer came in time"
	}
	return ""
}

func ofName(err error) string {
	var name *net.DNSError
	if !errors.As(err, &name) {
		return ""
	}
	if name.IsNotFound {
		return fmt.Sprintf("the host name %q does not exist", OneLine(name.Name, maxName))
	}
	return fmt.Sprintf("the host name %q could not be resolved", OneLine(name.Name, maxName))
}

func ofTLS(err error) string {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the server does not speak TLS at this address; is it http instead of https?"
	case errors.As(err, &authority):
		return "the certificate of the server is signed by an authority that is not trusted"
	case errors.As(err, &host):
		return "the certificate of the server is for another name: " + OneLine(host.Error(), maxShown)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the server has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "the certificate of the server is not valid"
	case errors.As(err, &alert), strings.HasPrefix(err.Error(), "remote error: tls: "):
		return "the server refused the TLS connection: " +
			OneLine(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "remote error: "), "tls: "), maxShown)
	}
	return ""
}

func ofConnection(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused: nothing listens at this address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server broke the connection before it answered"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "the server closed the connection before it answered"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the host cannot be reached from here"
	}
	return ""
}

// ofProtocol knows faults for which net/http has texts only.
func ofProtocol(err error) string {
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("malformed HTTP") || has("malformed MIME header") || has("malformed chunked"):
		return "the answer is not valid HTTP"
	case has("server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS at this address; is it http instead of https?"
	case has("response headers exceeded"):
		return "the headers of the answer are too long"
	case has("GOAWAY"):
		return "the server closed the connection before it answered (HTTP/2 GOAWAY)"
	case has("stream error"):
		return "the server broke off the request (HTTP/2" + code(text) + ")"
	case has("invalid header field"):
		return "the request has a header that HTTP does not allow"
	}
	return ""
}

// code returns the name of the error code in net/http's text of a stream error, like " INTERNAL_ERROR".
func code(text string) string {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ' ' || r == ':' }) {
		if len(part) > 3 && part == strings.ToUpper(part) && strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" &&
			strings.ContainsAny(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			return " " + part
		}
	}
	return ""
}
