// Command example reports a purchase and prints the list that follows it:
// example [-server HOST:PORT | https://HOST:PORT] [USER [ITEM]]. The key is that of QIANMIAN_KEY.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	qianmianv1 "qianmian/v1"
)

// retries lets a call try again that meets an unavailable server. An event with an id is recorded
// once, however often it is sent.
const retries = `{"methodConfig": [{
  "name": [
    {"service": "qianmian.v1.RecommendationService"},
    {"service": "qianmian.v1.EventService"}
  ],
  "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.25s", "maxBackoff": "5s", "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"]
  }
}]}`

func main() {
	server := flag.String("server", "127.0.0.1:50051", "address of the server; https:// for TLS")
	flag.Parse()
	user, item := "anna", "22423"
	if flag.NArg() > 0 {
		user = flag.Arg(0)
	}
	if flag.NArg() > 1 {
		item = flag.Arg(1)
	}
	if err := run(*server, user, item); err != nil {
		log.Fatal(err)
	}
}

// isThisMachine reports whether a key may be sent to HOST:PORT in plain text.
func isThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func run(server, user, item string) error {
	host, isEncrypted := strings.CutPrefix(server, "https://")
	security := insecure.NewCredentials()
	if isEncrypted {
		security = credentials.NewTLS(nil)
	}
	connection, err := grpc.NewClient(host,
		grpc.WithTransportCredentials(security), grpc.WithDefaultServiceConfig(retries))
	if err != nil {
		return err
	}
	defer connection.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if key := os.Getenv("QIANMIAN_KEY"); key != "" {
		if !isEncrypted && !isThisMachine(host) {
			return fmt.Errorf("%s is not encrypted: give https:// to send a key", server)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}

	bought := &qianmianv1.Event{
		EventId: fmt.Sprintf("example-%d", time.Now().UnixNano()),
		Kind:    qianmianv1.EventKind_EVENT_KIND_PURCHASE,
		UserId:  user,
		ItemId:  item,
	}
	written, err := qianmianv1.NewEventServiceClient(connection).WriteEvents(ctx,
		&qianmianv1.WriteEventsRequest{Events: []*qianmianv1.Event{bought}})
	if err != nil {
		return err
	}
	for _, refused := range written.GetErrors() {
		return fmt.Errorf("%s: %s", refused.GetField(), refused.GetMessage())
	}

	answer, err := qianmianv1.NewRecommendationServiceClient(connection).Recommend(ctx,
		&qianmianv1.RecommendRequest{UserId: user, Limit: 5})
	if err != nil {
		return err
	}
	for _, entry := range answer.GetItems() {
		fmt.Printf("%s %.4f %s\n", entry.GetItemId(), entry.GetScore(), entry.GetSource())
	}
	return nil
}
