//! Who has to go for whom.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

use super::{Clients, GUESTS_MAX, LEAVING_MAX, NEWCOMERS_MAX};

struct Door(TcpListener);

impl Door {
    /// Both ends of a connection.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let here = TcpStream::connect(self.0.local_addr().unwrap()).unwrap();
        (here, self.0.accept().unwrap().0)
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

#[test]
fn newcomers_take_no_place_of_guests() {
    let door = Door(TcpListener::bind("127.0.0.1:0").unwrap());
    let clients = Clients::default();
    let mut silent = Vec::new();
    let mut last = 0;
    let mut enter = |address| {
        last += 1;
        let (here, there) = door.pair();
        (last, here, clients.enter(last, there, address))
    };
    for _ in 0..NEWCOMERS_MAX {
        let (id, here, is_in) = enter(address(1));
        assert!(is_in);
        silent.push((id, here));
    }
    // All guests' places are free for whoever logs in, one by one, and only the flooding address pays.
    let mut guests = Vec::new();
    for number in 0..GUESTS_MAX {
        let (id, here, is_in) = enter(address(2));
        assert!(is_in && clients.seat(id), "guest {number}");
        guests.push((id, here));
        for (id, _) in &silent {
            if clients.is_leaving(*id) {
                clients.leave(*id);
            }
        }
    }
    assert!(guests.iter().all(|(id, _)| !clients.is_leaving(*id)));
    let (first, here) = &mut silent[0];
    assert!(clients.is_leaving(*first), "the oldest had to go");
    assert_eq!(here.read(&mut [0]).unwrap(), 0, "and its connection is shut");
    assert!(
        !clients.is_leaving(silent[1].0),
        "the others not: the guest's own place was free then"
    );
    // No more guests, but still newcomers, who are told so after the login.
    let (id, _here, is_in) = enter(address(2));
    assert!(is_in && !clients.seat(id));
    clients.leave(guests[0].0);
    assert!(clients.seat(id), "a place is free again");
    assert!(clients.end(silent[1].0, true).is_none(), "one who is not in has no number to end");
}

#[test]
fn threads_of_newcomers_are_bounded() {
    let door = Door(TcpListener::bind("127.0.0.1:0").unwrap());
    let clients = Clients::default();
    let mut kept = Vec::new();
    let mut enter = |id| {
        let (here, there) = door.pair();
        kept.push(here);
        clients.enter(id, there, address(1))
    };
    for id in 0..LEAVING_MAX {
        assert!(enter(u32::try_from(id).unwrap()), "{id}");
    }
    assert!(!enter(1000), "those that were told to go have not ended");
    assert!(clients.is_leaving(0));
    clients.leave(0);
    assert!(enter(1001));
    assert_eq!(clients.count(), LEAVING_MAX);
}
