package stacapi_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// A search is read to its end, page by page.
func ExampleClient_Search() {
	catalog := stacsample.New()
	catalog.Put(stacsample.Scenes(12, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))...)
	server := httptest.NewServer(catalog)
	defer server.Close()

	items, err := countItems(context.Background(), server.URL, stacsample.SceneCollection)
	fmt.Println(items, err)
	// Output: 12 <nil>
}

func countItems(ctx context.Context, address, collection string) (items int, err error) {
	client, err := stacapi.New(stacapi.Config{URL: address, UserAgent: "example/1.0", RequestsPerSecond: 1000})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if _, err := client.Discover(ctx); err != nil {
		return 0, err
	}
	query := stacapi.Query{Collection: collection, Limit: 5}
	_, err = client.Search(ctx, query, func(_ context.Context, page *stacapi.Page) error {
		for _, raw := range page.Items {
			if _, err := stacapi.ParseItem(raw); err != nil {
				return err
			}
			items++
		}
		return nil
	})
	return items, err
}
