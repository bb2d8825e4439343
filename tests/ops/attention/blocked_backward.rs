use crate::support::conform_everywhere;

#[test]
fn conforms() {
    conform_everywhere("attention/blocked_backward");
}
