// The lanes of a workgroup wait for each other and see each other's writes.
fn exchange() {
    workgroupBarrier();
}
