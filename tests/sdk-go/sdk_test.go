// Package sdkgo drives the emulator with today's published Go SDK, unmodified, so that the emulator is held to what a
// client of DIS really sends and not to what the gateway's own client sends.
//
// It is a module of its own: nobody who uses the Go client shall have to download the SDK.
package sdkgo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"
)

const projectID = "6332998f84ac4c13a83db055da33cb66"

const howToRun = `%s is not set: start an emulator and say where it is:
  DISGW_CREDENTIALS__ACCESS_KEY=EXAMPLEACCESSKEY0001 DISGW_CREDENTIALS__SECRET_KEY=example-secret-key dis-gateway emulator
  DIS_EMULATOR_ENDPOINT=http://127.0.0.1:9552 DIS_EMULATOR_ACCESS_KEY=EXAMPLEACCESSKEY0001 \
    DIS_EMULATOR_SECRET_KEY=example-secret-key go test ./...`

// env fails rather than skips: a conformance test that quietly did not run looks like one that passed.
func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf(howToRun, name)
	}
	return value
}

// dialect is how the SDK signs.
type dialect string

const (
	access  dialect = "access"  // its default
	derived dialect = "derived" // in some regions
)

func client(t *testing.T, sign dialect, secretKey string) *dis.DisClient {
	t.Helper()
	endpoint := env(t, "DIS_EMULATOR_ENDPOINT")
	credentials := basic.NewCredentialsBuilder().
		WithAk(env(t, "DIS_EMULATOR_ACCESS_KEY")).WithSk(secretKey).WithProjectId(projectID)
	builder := dis.DisClientBuilder().
		WithEndpoint(endpoint).
		WithHttpConfig(config.DefaultHttpConfig().WithTimeout(10 * time.Second))
	if sign == derived {
		credentials.WithDerivedPredicate(func(*request.DefaultHttpRequest) bool { return true })
		builder.WithRegion(region.NewRegion("eu-de", endpoint)).WithDerivedAuthServiceName("dis")
	}
	credential, err := credentials.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	http, err := builder.WithCredential(credential).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return dis.NewDisClient(http)
}

// conversation is one stream and one app, and the SDK's calls on them.
type conversation struct {
	*dis.DisClient
	stream, app string
}

// begin makes a stream of two partitions and an app, with names of their own, and removes them in the end.
func begin(t *testing.T, sign dialect) conversation {
	t.Helper()
	suffix := strings.ToLower(rand.Text()[:8])
	c := conversation{
		DisClient: client(t, sign, env(t, "DIS_EMULATOR_SECRET_KEY")),
		stream:    "sdk-go-" + suffix,
		app:       "sdk_go_" + suffix,
	}
	created, err := c.CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{
		StreamName: c.stream, PartitionCount: 2,
	}})
	if err != nil {
		t.Fatalf("creating the stream: %v", err)
	}
	wantStatus(t, "creating a stream", created.HttpStatusCode, 201)
	t.Cleanup(func() {
		if _, err := c.DeleteStream(&model.DeleteStreamRequest{StreamName: c.stream}); err != nil {
			t.Errorf("deleting the stream: %v", err)
		}
	})

	app, err := c.CreateApp(&model.CreateAppRequest{Body: &model.CreateAppReq{AppName: c.app}})
	if err != nil {
		t.Fatalf("creating the app: %v", err)
	}
	wantStatus(t, "creating an app", app.HttpStatusCode, 201)
	t.Cleanup(func() {
		if _, err := c.DeleteApp(&model.DeleteAppRequest{AppName: c.app}); err != nil {
			t.Errorf("deleting the app: %v", err)
		}
	})
	return c
}

func (c conversation) commit(t *testing.T, partition, number, metadata string) {
	t.Helper()
	answer, err := c.CommitCheckpoint(&model.CommitCheckpointRequest{Body: &model.CommitCheckpointReq{
		StreamName: c.stream, AppName: c.app, PartitionId: partition, SequenceNumber: number, Metadata: &metadata,
		CheckpointType: model.GetCommitCheckpointReqCheckpointTypeEnum().LAST_READ,
	}})
	if err != nil {
		t.Fatalf("committing: %v", err)
	}
	wantStatus(t, "a commit", answer.HttpStatusCode, 201)
}

func (c conversation) wantStored(t *testing.T, partition, number, metadata string) {
	t.Helper()
	answer, err := c.show(c.stream, partition)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	wantStatus(t, "a read", answer.HttpStatusCode, 200)
	if got := text(answer.SequenceNumber); got != number {
		t.Errorf("partition %s: sequence number %q, want %q", partition, got, number)
	}
	if got := text(answer.Metadata); got != metadata {
		t.Errorf("partition %s: metadata %q, want %q", partition, got, metadata)
	}
}

func (c conversation) show(stream, partition string) (*model.ShowCheckpointResponse, error) {
	return c.ShowCheckpoint(&model.ShowCheckpointRequest{
		StreamName: stream, AppName: c.app, PartitionId: partition,
		CheckpointType: model.GetShowCheckpointRequestCheckpointTypeEnum().LAST_READ,
	})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func wantStatus(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s is answered with %d, want %d", what, got, want)
	}
}

// wantRefused checks the error of DIS. It comes in two shapes of body, and the SDK takes the code only out of the one
// that says error_code; the other it hands on as the message.
func wantRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *sdkerr.ServiceResponseError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want an error of DIS with code %s", err, code)
	}
	got := refused.ErrorCode
	if got == "" {
		var body struct {
			ErrorCode string `json:"errorCode"`
		}
		if err := json.Unmarshal([]byte(refused.ErrorMessage), &body); err != nil {
			t.Fatalf("not an error body of DIS: %q", refused.ErrorMessage)
		}
		got = body.ErrorCode
	}
	if refused.StatusCode != status || got != code {
		t.Errorf("got %d %s (%s), want %d %s", refused.StatusCode, got, refused.ErrorMessage, status, code)
	}
}

func TestACheckpointGoesThereAndBackInEveryDialectOfTheSDK(t *testing.T) {
	for _, sign := range []dialect{access, derived} {
		t.Run(string(sign), func(t *testing.T) {
			c := begin(t, sign)

			c.wantStored(t, "0", "-1", "") // none yet

			// The text has what a signature and an encoding may trip over.
			c.commit(t, "0", "41", `a b+c/d="é" 🚲`)
			c.wantStored(t, "0", "41", `a b+c/d="é" 🚲`)
			c.wantStored(t, "shardId-0000000000", "41", `a b+c/d="é" 🚲`) // one partition, two spellings
			c.wantStored(t, "1", "-1", "")                               // another partition

			c.commit(t, "shardId-0000000000", "9223372036854775807", "")
			c.wantStored(t, "0", "9223372036854775807", "")

			partition := "0"
			deleted, err := c.DeleteCheckpoint(&model.DeleteCheckpointRequest{
				StreamName: c.stream, AppName: c.app, PartitionId: &partition,
				CheckpointType: model.GetDeleteCheckpointRequestCheckpointTypeEnum().LAST_READ,
			})
			if err != nil {
				t.Fatalf("deleting: %v", err)
			}
			wantStatus(t, "a delete", deleted.HttpStatusCode, 204)
			c.wantStored(t, "shardId-0000000000", "-1", "")
		})
	}
}

func TestDeletingOnePartitionLeavesTheOther(t *testing.T) {
	c := begin(t, access)
	c.commit(t, "0", "10", "")
	c.commit(t, "1", "20", "")
	partition := "shardId-0000000001"
	if _, err := c.DeleteCheckpoint(&model.DeleteCheckpointRequest{
		StreamName: c.stream, AppName: c.app, PartitionId: &partition,
		CheckpointType: model.GetDeleteCheckpointRequestCheckpointTypeEnum().LAST_READ,
	}); err != nil {
		t.Fatal(err)
	}
	c.wantStored(t, "0", "10", "")
	c.wantStored(t, "1", "-1", "")
}

func TestTheStateOfAConsumerHasItsCheckpoints(t *testing.T) {
	c := begin(t, access)
	c.commit(t, "1", "20", "")
	answer, err := c.ShowConsumerState(&model.ShowConsumerStateRequest{
		StreamName: c.stream, AppName: c.app,
		CheckpointType: model.GetShowConsumerStateRequestCheckpointTypeEnum().LAST_READ,
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer.PartitionConsumingStates == nil {
		t.Fatalf("no partition_consuming_states: %v", answer)
	}
	got := map[string]string{}
	for _, state := range *answer.PartitionConsumingStates {
		// Either spelling will do: only the long one has this prefix, and what follows it is the number.
		got[strings.TrimPrefix(text(state.PartitionId), "shardId-000000000")] = text(state.SequenceNumber)
	}
	if want := map[string]string{"0": "-1", "1": "20"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnUnknownStreamIsAnErrorOfDIS(t *testing.T) {
	c := begin(t, access)
	_, err := c.show("no-such-stream", "0")
	wantRefused(t, err, 400, "DIS.4301")
}

func TestAWrongSecretIsRejected(t *testing.T) {
	for _, sign := range []dialect{access, derived} {
		t.Run(string(sign), func(t *testing.T) {
			c := begin(t, sign)
			c.DisClient = client(t, sign, "not-"+env(t, "DIS_EMULATOR_SECRET_KEY"))
			_, err := c.show(c.stream, "0")
			wantRefused(t, err, 441, "DIS.4100")
		})
	}
}
