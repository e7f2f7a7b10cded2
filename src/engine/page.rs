//! Pages of listings, limited by number and by bytes, so that any client can receive them.

/// Maximum size of a page in bytes, approximately: gRPC clients accept messages of 4 MiB by
/// default.
const MAX_BYTES: usize = 3 << 20;

/// Maximum number of entries of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(pub usize);

impl Page {
    /// The entries from idx `from` on, up to `end`; and where the next page begins, if there is
    /// one. `entry` returns each with its bytes; none for an idx to omit.
    pub(super) fn of<T>(
        self,
        from: usize,
        end: usize,
        mut entry: impl FnMut(u32) -> Option<(T, usize)>,
    ) -> (Vec<T>, Option<usize>) {
        let mut listed = Vec::new();
        let mut taken = 0;
        for at in from..end {
            if listed.len() == self.0 {
                return (listed, Some(at));
            }
            let Some((found, bytes)) = entry(at as u32) else { continue };
            // An entry larger than a page has a page of its own.
            if !listed.is_empty() && taken + bytes > MAX_BYTES {
                return (listed, Some(at));
            }
            taken += bytes;
            listed.push(found);
        }
        (listed, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_by_number_or_by_bytes() {
        let page = |from, len, bytes| Page(len).of(from, 10, |at| (at != 3).then_some((at, bytes)));
        assert_eq!(page(0, 4, 1), (vec![0, 1, 2, 4], Some(5)));
        assert_eq!(page(5, 9, 1), (vec![5, 6, 7, 8, 9], None));
        assert_eq!(page(2, 9, 2 << 20), (vec![2], Some(4)));
        assert_eq!(page(9, 9, 9 << 20), (vec![9], None));
        assert_eq!(page(99, 9, 1), (vec![], None));
    }
}
