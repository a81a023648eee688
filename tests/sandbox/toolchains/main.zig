// Threads, memory and the loopback by the kernel's own calls: a binary without a C library.
const std = @import("std");
const linux = std.os.linux;

var sum = std.atomic.Value(u32).init(0);

fn add() void {
    _ = sum.fetchAdd(7, .monotonic);
}

fn must(result: usize) !usize {
    const signed: isize = @bitCast(result);
    if (signed < 0) return error.Refused;
    return result;
}

fn serve(listener: i32) void {
    const peer = linux.accept(listener, null, null);
    _ = linux.write(@intCast(peer), "talked", 6);
}

pub fn main() !void {
    const listener: i32 = @intCast(try must(linux.socket(linux.AF.INET, linux.SOCK.STREAM, 0)));
    var address = linux.sockaddr.in{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f000001) };
    var size: linux.socklen_t = @sizeOf(linux.sockaddr.in);
    _ = try must(linux.bind(listener, @ptrCast(&address), size));
    _ = try must(linux.listen(listener, 1));
    _ = try must(linux.getsockname(listener, @ptrCast(&address), &size));
    const server = try std.Thread.spawn(.{}, serve, .{listener});

    const client: i32 = @intCast(try must(linux.socket(linux.AF.INET, linux.SOCK.STREAM, 0)));
    _ = try must(linux.connect(client, @ptrCast(&address), size));
    var said: [16]u8 = undefined;
    const length = try must(linux.read(client, &said, said.len));
    server.join();

    var threads: [6]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try std.Thread.spawn(.{}, add, .{});
    for (threads) |thread| thread.join();
    std.debug.print("{s} {d}\n", .{ said[0..length], sum.load(.monotonic) });
}
