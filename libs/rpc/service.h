// What a process offers by gRPC: a Service is a table of methods. A face derives from it and enters its methods, whose
// names and types are checked against the proto:
//
//   class CacheFace final : public rpc::Service {
//    public:
//     CacheFace() : Service(cache::v1::CacheService::service_full_name()) { Unary("Get", &CacheFace::Get); }
//    private:
//     void Get(rpc::UnaryCall* call, const cache::v1::GetRequest* request, cache::v1::GetResponse* response);
//   };
//
// Methods of the proto that are not entered answer UNIMPLEMENTED. Method functions run on the server's few loops, so
// they neither compute long nor block; method.h takes work elsewhere.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <google/protobuf/message.h>

#include "libs/common/request_context.h"
#include "libs/rpc/server_call.h"

namespace alcove::rpc {

// A call with one request and one response, both valid until Finish().
class UnaryCall : public CallReactor {
 public:
  const ServerCall& call() const { return *call_; }
  // Cancelled when the client goes away or the deadline passes.
  CancellationToken cancellation() const { return source_.token(); }
  // Ends the call: with the response when OK, else with the error. Once, from any thread; neither the call nor its
  // messages may be touched afterwards.
  void Finish(absl::Status status);
  void OnCancelled(absl::Status why) final { source_.Cancel(std::move(why)); }

 protected:
  explicit UnaryCall(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}
  virtual google::protobuf::Message& request() = 0;
  virtual const google::protobuf::Message& response() const = 0;
  virtual void Run() = 0;

 private:
  void OnMessage(std::string_view bytes) final;
  void OnMessagesEnd() final;
  void OnWritten(bool) final {}
  void OnCallDone() final { delete this; }

  const std::shared_ptr<ServerCall> call_;
  CancellationSource source_;
  bool begun_ = false;
};

// The server's side of a call that is answered by a stream: derive, start writes, finish. The reactions come one after
// the other, on the call's loop, and must not block.
template <typename Response>
class WriteReactor : public CallReactor {
 public:
  // Sends `response`; OnWriteDone follows. One at a time.
  void StartWrite(const Response* response) { call_->Write(ServerCall::Frame(*response)); }
  // Ends the call, once; OnDone follows, after what is under way has been answered.
  void Finish(absl::Status status) { call_->Finish(std::move(status)); }

 protected:
  explicit WriteReactor(ServerCall& call) : call_(call.shared_from_this()) {}
  // There is room for the next message; false: the call is over and nothing more arrives at the client.
  virtual void OnWriteDone(bool /*ok*/) {}
  // The client went away or the deadline passed. Finish() is still due.
  virtual void OnCancel(absl::Status /*why*/) {}
  // The last call; usually `delete this`.
  virtual void OnDone() = 0;
  void OnMessage(std::string_view /*bytes*/) override {}
  void OnMessagesEnd() override {}

  const std::shared_ptr<ServerCall> call_;

 private:
  void OnWritten(bool ok) final { OnWriteDone(ok); }
  void OnCancelled(absl::Status why) final { OnCancel(std::move(why)); }
  void OnCallDone() final { OnDone(); }
};

// The same for a call in which both sides stream.
template <typename Request, typename Response>
class BidiReactor : public WriteReactor<Response> {
 public:
  // Reads the next message into `request`, which stays valid until OnReadDone. One at a time.
  void StartRead(Request* request) {
    incoming_ = request;
    this->call_->Read();
  }

 protected:
  using WriteReactor<Response>::WriteReactor;
  // False: the client has sent its last message, or the call is over.
  virtual void OnReadDone(bool ok) = 0;

 private:
  void OnMessage(std::string_view bytes) final {
    if (incoming_->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return OnReadDone(true);
    this->call_->Fail(absl::InternalError("a message of the stream cannot be parsed"));
    OnReadDone(false);
  }
  void OnMessagesEnd() final { OnReadDone(false); }

  Request* incoming_ = nullptr;
};

class Service {
 public:
  // Takes a call on its loop: makes the reactor and begins, or refuses.
  using Opener = std::function<void(const std::shared_ptr<ServerCall>&)>;

  // `full_name` ("alcove.cache.v1.CacheService") must be a service of a linked proto.
  explicit Service(std::string_view full_name);
  virtual ~Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const std::string& name() const { return name_; }
  // By path, "/alcove.cache.v1.CacheService/Get"; each method of the proto has one.
  const absl::flat_hash_map<std::string, Opener>& methods() const { return methods_; }

 protected:
  // Each enters a method by its name in the proto; a name or type the proto does not have ends the process at once.
  template <typename Face, typename Request, typename Response>
  void Unary(std::string_view method, void (Face::*function)(UnaryCall*, const Request*, Response*)) {
    class Typed final : public UnaryCall {
     public:
      Typed(std::shared_ptr<ServerCall> call, Face* face, void (Face::*function)(UnaryCall*, const Request*, Response*))
          : UnaryCall(std::move(call)), face_(face), function_(function) {}

     private:
      google::protobuf::Message& request() override { return request_; }
      const google::protobuf::Message& response() const override { return response_; }
      void Run() override { (face_->*function_)(this, &request_, &response_); }

      Face* const face_;
      void (Face::*const function_)(UnaryCall*, const Request*, Response*);
      Request request_;
      Response response_;
    };
    Enter(method, *Request::descriptor(), *Response::descriptor(), /*client_streams=*/false, /*server_streams=*/false,
          [face = static_cast<Face*>(this), function](const std::shared_ptr<ServerCall>& call) {
            call->Begin(*new Typed(call, face, function));
            call->Read();
          });
  }

  // The function makes the reactor, which deletes itself; `request` lives as long as the call.
  template <typename Face, typename Request, typename Response>
  void ServerStreaming(std::string_view method,
                       WriteReactor<Response>* (Face::*function)(ServerCall*, const Request*)) {
    // Reads the request, then steps aside.
    class Reader final : public RequestReader {
     public:
      Reader(std::shared_ptr<ServerCall> call, Face* face,
             WriteReactor<Response>* (Face::*function)(ServerCall*, const Request*))
          : RequestReader(std::move(call)), face_(face), function_(function) {}

     private:
      CallReactor* Open(ServerCall& call, std::string_view bytes) override {
        auto request = std::make_unique<Request>();
        if (!request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return nullptr;
        const Request* const kept = request.get();
        call.Keep(std::move(request));
        return (face_->*function_)(&call, kept);
      }
      Face* const face_;
      WriteReactor<Response>* (Face::*const function_)(ServerCall*, const Request*);
    };
    Enter(method, *Request::descriptor(), *Response::descriptor(), /*client_streams=*/false, /*server_streams=*/true,
          [face = static_cast<Face*>(this), function](const std::shared_ptr<ServerCall>& call) {
            call->Begin(*new Reader(call, face, function));
            call->Read();
          });
  }

  template <typename Face, typename Request, typename Response>
  void BidiStreaming(std::string_view method, BidiReactor<Request, Response>* (Face::*function)(ServerCall*)) {
    Enter(method, *Request::descriptor(), *Response::descriptor(), /*client_streams=*/true, /*server_streams=*/true,
          [face = static_cast<Face*>(this), function](const std::shared_ptr<ServerCall>& call) {
            call->Begin(*(face->*function)(call.get()));
          });
  }

 private:
  // What a server-streaming call is until its request is here.
  class RequestReader : public CallReactor {
   protected:
    explicit RequestReader(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}
    // Null when the request cannot be parsed.
    virtual CallReactor* Open(ServerCall& call, std::string_view bytes) = 0;

   private:
    void OnMessage(std::string_view bytes) final;
    void OnMessagesEnd() final;
    void OnWritten(bool) final {}
    void OnCancelled(absl::Status why) final;
    void OnCallDone() final { delete this; }
    const std::shared_ptr<ServerCall> call_;
    bool finishing_ = false;  // no reactor takes over any more
  };

  void Enter(std::string_view method, const google::protobuf::Descriptor& request,
             const google::protobuf::Descriptor& response, bool client_streams, bool server_streams, Opener opener);

  const std::string name_;
  absl::flat_hash_map<std::string, Opener> methods_;
};

}  // namespace alcove::rpc
