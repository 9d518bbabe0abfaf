// Result<T, E>: a value, or the reason why there is none.
//
// Expected failures are values in Postern: a function that can fail for a reason which the outside
// world controls returns a Result, and the caller has to look. (std::expected needs g++ 13; Debian
// 12 ships 12.)
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace postern {

// A failure in words: what was wrong, with which value, where, and what to do.
struct Error {
    std::string message;
};

// Marks the failure side, so that Result<std::string, std::string> stays unambiguous.
template <typename E>
struct Failure {
    E error;
};

inline Failure<Error> fail(std::string message) {
    return {Error{std::move(message)}};
}

template <typename E>
Failure<E> fail_with(E error) {
    return {std::move(error)};
}

template <typename T, typename E = Error>
class [[nodiscard]] Result {
  public:
    // Both are implicit on purpose: `return value;` and `return fail("...");` read as they should.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Failure<E> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Precondition of value(), * and ->: ok(); of error(): !ok(). std::get asserts it.
    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    E& error() & { return std::get<1>(state_); }
    const E& error() const& { return std::get<1>(state_); }
    E&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<T, E> state_;
};

template <typename E>
class [[nodiscard]] Result<void, E> {
  public:
    Result() : state_(std::in_place_index<0>) {}
    Result(Failure<E> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }
    const E& error() const& { return std::get<1>(state_); }
    E&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<std::monostate, E> state_;
};

using Status = Result<void, Error>;

}  // namespace postern
