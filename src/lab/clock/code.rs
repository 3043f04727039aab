//! The machine code that answers a question for the time instead of the kernel's own, for `x86_64`.

/// What the code begins with, so that it is known where it is.
pub(super) const MAGIC: [u8; 8] = *b"rashclk1";

/// Which of the two slots is read; one byte, so that it changes at once.
pub(super) const INDEX: usize = 0x08;

/// Two slots of eight bytes, each an offset in nanoseconds.
pub(super) const SLOTS: usize = 0x10;

/// The id of the process that changes the offset, eight bytes; 0 if none does.
pub(super) const KEEPER: usize = 0x20;

/// Each question, with where its answer begins.
pub(super) const ANSWERS: [(&str, usize); 3] =
    [("__vdso_clock_gettime", 0x28), ("__vdso_gettimeofday", 0x76), ("__vdso_time", 0xbc)];

/// Asks the kernel by a system call, and adds the offset to what it says of the wall clock
/// (`CLOCK_REALTIME`, `CLOCK_REALTIME_COARSE`, `CLOCK_TAI`). Whatever else was asked is answered as it
/// stands. Needs no other place than itself and the stack, and changes no register that a function
/// may not change.
#[rustfmt::skip]
pub(super) const CODE: [u8; 0xde] = [
    b'r', b'a', b's', b'h', b'c', b'l', b'k', b'1',
    0, 0, 0, 0, 0, 0, 0, 0,                         // index
    0, 0, 0, 0, 0, 0, 0, 0,                         // slot 0
    0, 0, 0, 0, 0, 0, 0, 0,                         // slot 1
    0, 0, 0, 0, 0, 0, 0, 0,                         // keeper
    // clock_gettime(edi: clock, rsi: timespec):
    0xb8, 0xe4, 0x00, 0x00, 0x00,                   // mov eax, 228
    0x0f, 0x05,                                     // syscall
    0x85, 0xc0,                                     // test eax, eax
    0x75, 0x42,                                     // jne ret
    0x83, 0xff, 0x05,                               // cmp edi, CLOCK_REALTIME_COARSE
    0x74, 0x09,                                     // je wall
    0x83, 0xff, 0x0b,                               // cmp edi, CLOCK_TAI
    0x74, 0x04,                                     // je wall
    0x85, 0xff,                                     // test edi, edi (CLOCK_REALTIME)
    0x75, 0x34,                                     // jne ret
    // wall:
    0x0f, 0xb6, 0x05, 0xc0, 0xff, 0xff, 0xff,       // movzx eax, byte [index]
    0x48, 0x8d, 0x0d, 0xc1, 0xff, 0xff, 0xff,       // lea rcx, [slots]
    0x48, 0x8b, 0x04, 0xc1,                         // mov rax, [rcx + rax * 8]
    0x48, 0x03, 0x46, 0x08,                         // add rax, [rsi + 8] (nanoseconds)
    0x48, 0x99,                                     // cqo
    0xb9, 0x00, 0xca, 0x9a, 0x3b,                   // mov ecx, 1000000000
    0x48, 0xf7, 0xf9,                               // idiv rcx
    0x48, 0x85, 0xd2,                               // test rdx, rdx
    0x79, 0x06,                                     // jns whole
    0x48, 0x01, 0xca,                               // add rdx, rcx
    0x48, 0xff, 0xc8,                               // dec rax
    // whole:
    0x48, 0x01, 0x06,                               // add [rsi], rax (seconds)
    0x48, 0x89, 0x56, 0x08,                         // mov [rsi + 8], rdx
    0x31, 0xc0,                                     // xor eax, eax
    0xc3,                                           // ret
    // gettimeofday(rdi: timeval, rsi: timezone):
    0x49, 0x89, 0xf8,                               // mov r8, rdi
    0x49, 0x89, 0xf1,                               // mov r9, rsi
    0x48, 0x83, 0xec, 0x18,                         // sub rsp, 24
    0x31, 0xff,                                     // xor edi, edi
    0x48, 0x89, 0xe6,                               // mov rsi, rsp
    0xe8, 0x9e, 0xff, 0xff, 0xff,                   // call clock_gettime
    0x4d, 0x85, 0xc0,                               // test r8, r8
    0x74, 0x1a,                                     // je zone
    0x48, 0x8b, 0x04, 0x24,                         // mov rax, [rsp]
    0x49, 0x89, 0x00,                               // mov [r8], rax
    0x48, 0x8b, 0x44, 0x24, 0x08,                   // mov rax, [rsp + 8]
    0x31, 0xd2,                                     // xor edx, edx
    0xb9, 0xe8, 0x03, 0x00, 0x00,                   // mov ecx, 1000
    0x48, 0xf7, 0xf1,                               // div rcx
    0x49, 0x89, 0x40, 0x08,                         // mov [r8 + 8], rax
    // zone:
    0x4d, 0x85, 0xc9,                               // test r9, r9
    0x74, 0x07,                                     // je done
    0x49, 0xc7, 0x01, 0x00, 0x00, 0x00, 0x00,       // mov qword [r9], 0
    // done:
    0x48, 0x83, 0xc4, 0x18,                         // add rsp, 24
    0x31, 0xc0,                                     // xor eax, eax
    0xc3,                                           // ret
    // time(rdi: time_t):
    0x49, 0x89, 0xf8,                               // mov r8, rdi
    0x48, 0x83, 0xec, 0x18,                         // sub rsp, 24
    0x31, 0xff,                                     // xor edi, edi
    0x48, 0x89, 0xe6,                               // mov rsi, rsp
    0xe8, 0x5b, 0xff, 0xff, 0xff,                   // call clock_gettime
    0x48, 0x8b, 0x04, 0x24,                         // mov rax, [rsp]
    0x48, 0x83, 0xc4, 0x18,                         // add rsp, 24
    0x4d, 0x85, 0xc0,                               // test r8, r8
    0x74, 0x03,                                     // je ret
    0x49, 0x89, 0x00,                               // mov [r8], rax
    0xc3,                                           // ret
];
