package io.disgateway.transcript;

import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Gathers what a stream answers. */
final class Answers<T> implements StreamObserver<T> {
  private final List<T> answers = new ArrayList<>(); // gRPC calls an observer from one thread at a time
  private final CompletableFuture<List<T>> all = new CompletableFuture<>();

  @Override
  public void onNext(T answer) {
    answers.add(answer);
  }

  @Override
  public void onError(Throwable error) {
    all.completeExceptionally(error);
  }

  @Override
  public void onCompleted() {
    all.complete(answers);
  }

  /** Waits for the end of the stream, which must be OK; its deadline bounds the wait. */
  List<T> untilEnd() throws InterruptedException, Mismatch {
    try {
      return all.get();
    } catch (ExecutionException e) {
      throw new Mismatch("the stream ended with " + e.getCause());
    }
  }
}
