#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>

#include "disgateway/failure.h"
#include "disgateway/v1/checkpoint.grpc.pb.h"
#include "emulator.h"

// The steps, each what the transcript says of it. They throw Mismatch.
class Conversation {
 public:
  // Has the emulator make the stream and the app anew.
  Conversation(std::string target, Emulator emulator, std::string stream, std::string app);

  void GetNothing();
  void CommitFirst();
  void ReadBack();
  void Regression();
  void Rewind();
  void AstralMetadata();
  void InvalidField();
  void Batch();
  void Stream();
  void Watch();
  void List();
  void Delete();
  void Deadline();
  void Outage();
  void LostAnswer();
  void Fenced();
  void Reconnect();

 private:
  using Stub = disgateway::v1::CheckpointService::Stub;
  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  static constexpr std::chrono::milliseconds kCall{10'000};
  static constexpr std::chrono::milliseconds kStream{60'000};

  // Makes a call that must go well.
  template <typename Request, typename Response>
  Response Ask(Method<Request, Response> method, const Request& request);
  // Makes a call that must fail.
  template <typename Request, typename Response>
  disgateway::Failure Refused(Method<Request, Response> method, const Request& request,
                              std::chrono::milliseconds deadline = kCall);

  void Connect();
  disgateway::v1::CheckpointKey Key(const std::string& partition) const;
  disgateway::v1::GetCheckpointRequest Fresh(const std::string& partition) const;
  disgateway::v1::GetCheckpointResponse GetFresh(const std::string& partition);
  disgateway::v1::CommitCheckpointRequest CommitOf(const std::string& partition, const std::string& number,
                                                   const std::string& metadata = "") const;
  disgateway::v1::CommitCheckpointResponse Commit(const disgateway::v1::CommitCheckpointRequest& request);
  disgateway::v1::BatchGetCheckpointsResponse BatchGet(std::initializer_list<std::string> partitions);
  disgateway::v1::ListCheckpointsResponse Page(const std::string& token);

  std::string target_;
  Emulator emulator_;
  std::string stream_;
  std::string app_;
  std::unique_ptr<Stub> gateway_;
};
