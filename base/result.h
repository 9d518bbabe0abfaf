// Result<T, E>: a value, or the reason why there is none; std::expected by its names.
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
    // Later it may be otherwise though nothing of what it is about was changed.
    bool may_pass = false;
};

// Marks the side of the error, so that Result<std::string, std::string> stays unambiguous.
template <typename E>
class Unexpected {
  public:
    explicit Unexpected(E error) : error_(std::move(error)) {}
    [[nodiscard]] const E& error() const& { return error_; }
    E&& error() && { return std::move(error_); }

  private:
    E error_;
};

inline Unexpected<Error> fail(std::string message) {
    return Unexpected(Error{std::move(message), false});
}

template <typename T, typename E = Error>
class [[nodiscard]] Result {
  public:
    // Both are implicit on purpose: `return value;` and `return fail("...");` read as they should.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Unexpected<E> error) : state_(std::in_place_index<1>, std::move(error).error()) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    // Precondition of value(), * and ->: has_value(); of error(): !has_value(). std::get asserts
    // it.
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
    Result(Unexpected<E> error) : state_(std::in_place_index<1>, std::move(error).error()) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    const E& error() const& { return std::get<1>(state_); }
    E&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<std::monostate, E> state_;
};

using Status = Result<void, Error>;

}  // namespace postern

// Leaves the function with the error of a Result where it has one:
//
//     POSTERN_TRY(write(file, text));            // a Status
//     POSTERN_TRY(const auto id, random_id());   // and takes the value otherwise
//
// The second form is two statements: it stands in a block of its own.
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration in parentheses is none
#define POSTERN_TRY(...) \
    POSTERN_TRY_CHOSEN(__VA_ARGS__, POSTERN_TRY_VALUE, POSTERN_TRY_STATUS, )(__VA_ARGS__)
#define POSTERN_TRY_CHOSEN(first, second, chosen, ...) chosen
#define POSTERN_TRY_STATUS(expression)                     \
    if (auto postern_tried = (expression); !postern_tried) \
    return ::postern::Unexpected(std::move(postern_tried).error())
#define POSTERN_TRY_VALUE(declaration, expression) \
    POSTERN_TRY_NAMED(declaration, expression, POSTERN_TRY_JOIN(postern_tried_, __LINE__))
#define POSTERN_TRY_NAMED(declaration, expression, tried)                 \
    auto tried = (expression);                                            \
    if (!(tried)) return ::postern::Unexpected(std::move(tried).error()); \
    declaration = *std::move(tried)
#define POSTERN_TRY_JOIN(one, other) POSTERN_TRY_JOINED(one, other)
#define POSTERN_TRY_JOINED(one, other) one##other
// NOLINTEND(bugprone-macro-parentheses)
