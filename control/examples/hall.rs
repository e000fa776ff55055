//! Rooms by themselves on 127.0.0.1:8080, without a relay: signalling and the page work, media does not flow. For working on the
//! page. Prints an address with a token.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raceway_control::rooms::{Front, Hall, router};
use raceway_dtls::{Certificate, Identity};
use raceway_rooms::meetings::{Meetings, Settings};
use raceway_rooms::{Grants, Key, Keys, RoomScope};
use raceway_units::{Instant, UnixTime};

fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_ns(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

fn wall() -> UnixTime {
    UnixTime(std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings {
        rooms: raceway_rooms::Settings::default(),
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], 7000))],
        preferred: Vec::new(),
        helpers: Vec::new(),
        resume_for: Duration::from_secs(30),
    };
    let random = |octets: &mut [u8]| getrandom::fill(octets).expect("the kernel has random numbers");
    let mut meetings = Meetings::new(settings, vec![SocketAddr::from(([127, 0, 0, 1], 7000))], Box::new(random));
    meetings.set_identity(Identity::new(&Certificate::generate(wall())?)?)?;
    let hall = Arc::new(Mutex::new(Hall::new(meetings)));
    let mut keys = Keys::default();
    keys.add(Key::hmac("example", b"a secret that is only an example")?)?;
    let grants = |name: &str| -> anyhow::Result<Grants> {
        let identity = raceway_rooms::Identity::new(name)?;
        let (name, room, expires) = (None, RoomScope::Any, None);
        Ok(Grants { identity, is_shared: false, name, room, publish: true, subscribe: true, admin: true, expires })
    };
    for name in ["ann", "ben", "cleo"] {
        let token = keys.sign("example", &grants(name)?, UnixTime(wall().0 + 86_400))?;
        println!("http://localhost:8080/meet/demo#name={name}&token={token}");
    }
    let commands = Arc::clone(&hall);
    let front = Front::new(
        Box::new(move |command| {
            commands.lock().expect("nobody panics with it").obey(now(), command);
            Ok(())
        }),
        wall,
        keys,
        Vec::new(),
    );
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            hall.lock().expect("nobody panics with it").handle_timeout(now());
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    Ok(axum::serve(listener, router(front)).await?)
}
