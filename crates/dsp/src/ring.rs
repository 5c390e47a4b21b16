//! A first-in, first-out queue of fixed capacity, for cores that may not allocate.

#[derive(Clone, Debug)]
pub(crate) struct Ring<T, const N: usize> {
    items: [Option<T>; N],
    first: usize,
    count: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    pub(crate) const fn new() -> Self {
        Self { items: [None; N], first: 0, count: 0 }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.count == N
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Gives the item back when there is no room.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        match self.items.get_mut((self.first + self.count) % N) {
            Some(slot) if self.count < N => *slot = Some(item),
            Some(_) | None => return Err(item),
        }
        self.count += 1;
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.items.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % N;
        self.count -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn what_goes_in_comes_out_in_order_and_no_more_than_fits() {
        let mut ring = Ring::<u8, 3>::new();
        for round in 0..5 {
            for item in 0..3 {
                assert_eq!(ring.push(round + item), Ok(()));
            }
            assert!(ring.is_full());
            assert_eq!(ring.push(9), Err(9));
            assert_eq!(
                [ring.pop(), ring.pop(), ring.pop(), ring.pop()],
                [Some(round), Some(round + 1), Some(round + 2), None]
            );
            assert!(ring.is_empty());
            // Off by one each round, so that every slot is the first once.
            ring.push(0).unwrap();
            ring.pop();
        }
    }
}
