//! Rates in GB/s and GFLOP/s, where criterion's own measurement would say `Gelem/s`.

use std::time::{Duration, Instant};

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// A duration, measured by the row itself. Elements of a throughput are floating-point operations.
pub(crate) struct DeviceTime;

impl Measurement for DeviceTime {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, duration: &Duration) -> f64 {
        WallTime.to_f64(duration)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for DeviceTime {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        match throughput {
            Throughput::Elements(flops) => {
                // Operations in a nanosecond are 10^9 in a second.
                values.iter_mut().for_each(|nanoseconds| *nanoseconds = *flops as f64 / *nanoseconds);
                "GFLOP/s"
            }
            other => WallTime.formatter().scale_throughputs(typical, other, values),
        }
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
