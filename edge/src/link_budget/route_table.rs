//! The kernel's table of routes.

const IS_UP: u32 = 1;
const IS_REJECTING: u32 = 0x200;

/// The network interface of the default route with the lowest metric in `table`, the text of
/// `/proc/net/route`; `None` without such a route.
pub(super) fn default_interface(table: &str) -> Option<&str> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let interface = columns.next()?;
        let mut column = |number: usize| columns.nth(number);
        let destination = column(0)?;
        let flags = u32::from_str_radix(column(1)?, 16).ok()?;
        let metric: u32 = column(2)?.parse().ok()?;
        let mask = column(0)?;
        let is_default = destination == "00000000" && mask == "00000000";
        let is_usable = flags & IS_UP != 0 && flags & IS_REJECTING == 0;
        (is_default && is_usable).then_some((metric, interface))
    });
    // Of equal ones the first, which the kernel uses.
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let table = format!(
            "{HEADER}\
             wwan0\t00000000\t0100A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n\
             eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             down0\t00000000\t0100A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n\
             wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             no\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"
        );
        assert_eq!(default_interface(&table), Some("wlan0"));
    }

    #[test]
    fn without_a_default_route_there_is_none() {
        for table in ["", HEADER, "x", &format!("{HEADER}eth0\t00000000\t1\tzz\n")] {
            assert_eq!(default_interface(table), None);
        }
    }
}
