// Whether some invocation of the workgroup says so.
var<workgroup> said_so: atomic<u32>;

fn some_invocation(says_so: bool, invocation: u32) -> bool {
    if invocation == 0u {
        atomicStore(&said_so, 0u);
    }
    workgroupBarrier();
    if says_so {
        atomicStore(&said_so, 1u);
    }
    return workgroupUniformLoad(&said_so) != 0u;
}
